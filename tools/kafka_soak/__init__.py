"""Groups of Kafka readers that rebalance each second while their server is killed and started again."""
