/* Preloaded before the C library: the fsync with the number FAIL_FSYNC fails once, as that of a broken disk does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

static int left;

int fsync(int file) {
    static int begun;
    if (!begun) {
        const char *number = getenv("FAIL_FSYNC");
        left = number ? atoi(number) : 0;
        begun = 1;
    }
    if (__sync_fetch_and_sub(&left, 1) == 1) {
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return real(file);
}
