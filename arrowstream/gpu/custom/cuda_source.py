"""Kernels in CUDA C++, compiled by NVRTC: for that, no GPU and no driver is needed.

The compiler itself checks the types of the parameters: after the source come assertions about them. So aliases and
macros count as what they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from arrowstream.core.hints import did_you_mean
from arrowstream.core.plural import counted
from arrowstream.errors import PlanError
from arrowstream.gpu.custom.compiled import CompiledKernel, CompileTarget, missing_compiler
from arrowstream.gpu.custom.declaration import Declared, kernels, parameters
from arrowstream.gpu.custom.parameters import Parameter, bind

_CHECKS = """
#line 1 "arrowstream"
namespace arrowstream {
template <class A, class B> struct same { static constexpr bool value = false; };
template <class A> struct same<A, A> { static constexpr bool value = true; };
template <int place, class F> struct parameter;
template <class R, class First, class... Rest>
struct parameter<0, R(First, Rest...)> { using type = First; };
template <int place, class R, class First, class... Rest>
struct parameter<place, R(First, Rest...)> { using type = typename parameter<place - 1, R(Rest...)>::type; };
template <class F, int place, class... Types>
constexpr bool is = (same<typename parameter<place, F>::type, Types>::value || ...);
}
"""
_FILE = "kernel.cu"
_ERROR = re.compile(
    r"^(?:\S+\((?P<line>\d+)\)|At end of source): (?:catastrophic )?error(?: #\S+)?: (?P<text>.*)$", re.M
)
_FAILED = re.compile(r'static assertion failed with "(\d+)"')


def compile_cuda(
    source: str, name: str, inputs: dict[str, Any], outputs: dict[str, Any], target: CompileTarget
) -> CompiledKernel:
    """Return a kernel in CUDA C++, compiled and checked.

    Parameters
    ----------
    source, name
        The source, and the name of the kernel in it.
    inputs, outputs
        The types of the columns that it reads and writes.
    target
        What to compile for.

    Raises
    ------
    PlanError
        The source does not compile, has no such kernel, or the kernel has other parameters than its columns need, or
        is declared for smaller blocks.
    MissingExtra
        NVRTC is not installed.
    """
    try:
        declared = _declared(source, name)
        bound = bind(name, [one.name for one in declared], inputs, outputs, counted=True)
        checked = source + _CHECKS + _assertions(name, bound)
        code, ptx = _compile(checked, target, lambda log: _misfit(log, name, declared, bound))
    except PlanError as error:
        problem = error
    else:
        entry = _entry(name, source, ptx)
        _check_bounds(name, ptx, target.threads)
        return CompiledKernel(name, entry, code, bound, "pointers")
    # A mistake in the source itself, which may be the cause, is reported first.
    _, ptx = _compile(source, target, lambda log: _mistake(log, name, source))
    _entry(name, source, ptx)
    raise problem


def _declared(source: str, name: str) -> list[Declared]:
    declared = parameters(source, name)
    if declared is None:
        raise PlanError(
            f"the parameters of the kernel {name!r} cannot be read",
            expected=f'extern "C" __global__ void {name}(...) in the source itself',
            hint="declare the kernel without macros",
        )
    return declared


def _assertions(name: str, bound: tuple[Parameter, ...]) -> str:
    lines = []
    for place, parameter in enumerate(bound):
        forms = ", ".join(parameter.in_cuda(form) for form in parameter.element.in_cuda)
        lines.append(f'static_assert(arrowstream::is<decltype({name}), {place}, {forms}>, "{place}");\n')
    return "".join(lines)


def _entry(name: str, source: str, ptx: str) -> str:
    """Return the entry of a kernel in its code."""
    entries = entries_of(ptx)
    if name in entries:
        return name
    mangled = f"_Z{len(name)}{name}"
    if any(entry.startswith(mangled) for entry in entries):
        raise PlanError(
            f"the kernel {name!r} has another name in its code, as C++ gives it",
            expected=f'extern "C" __global__ void {name}(...)',
            found=f"__global__ void {name}(...)",
        )
    found = kernels(source)
    raise PlanError(
        f"the source has no kernel {name!r}",
        expected=f'extern "C" __global__ void {name}(...)',
        found=", ".join(found) or "no kernel",
        hint=did_you_mean(name, found),
    )


def _check_bounds(name: str, ptx: str, threads: int) -> None:
    """Refuse blocks that are larger than those that a kernel says it is for."""
    declared = re.search(rf"\.entry\s+{name}\s*\([^)]*\)\s*\.(?:maxntid|reqntid)\s+(\d+)", ptx)
    if declared is not None and int(declared[1]) < threads:
        raise PlanError(
            f"the kernel {name!r} is declared for smaller blocks than it would get",
            expected=f"block_size({declared[1]}), or no such __launch_bounds__",
            found=f"block_size({threads})",
        )


def entries_of(ptx: str) -> list[str]:
    """Return the names of the kernels in PTX, as they are in the machine code made of it."""
    return re.findall(r"\.entry\s+([\w$]+)\s*\(", ptx)


def _compile(text: str, target: CompileTarget, failure: Callable[[str], PlanError]) -> tuple[bytes, str]:
    """Return the code of a text, and its PTX; `failure` makes an error of the compiler's log."""
    nvrtc = _nvrtc()
    program = _value(nvrtc.nvrtcCreateProgram(text.encode(), _FILE.encode(), 0, [], []))
    try:
        options = [
            f"--gpu-architecture={target.architecture}".encode(),
            f"--maxrregcount={target.registers}".encode(),
        ]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            raise failure(log.decode(errors="replace"))
        ptx = _text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program).decode(errors="replace")
        code = _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return code, ptx


def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError, OSError) as error:  # the library, or what it loads
        raise missing_compiler("NVRTC", error) from error
    return nvrtc


def _value(answer: tuple[Any, ...]) -> Any:
    """Return what a call of NVRTC gives besides its status."""
    status, *values = answer
    if status.value:
        raise RuntimeError(f"NVRTC answered {status.name}")
    return values[0] if values else None


def _text(size: Any, get: Any, program: Any) -> bytes:
    found = bytes(_value(size(program)))
    _value(get(program, found))
    return found


def _misfit(log: str, name: str, declared: Sequence[Declared], bound: Sequence[Parameter]) -> PlanError:
    """Return the error for the first parameter whose type is not what its column needs."""
    failed = _FAILED.search(log)
    if failed is None:
        first = _ERROR.search(log)
        return PlanError(
            f"the parameters of the kernel {name!r} cannot be checked",
            expected="a function outside of namespaces and classes, with one declaration",
            found=first["text"] if first else log.strip(),
        )
    parameter, text = bound[int(failed[1])], declared[int(failed[1])].text
    what = f"for the column {parameter.column!r}" if parameter.column else "for the number of rows"
    return PlanError(
        f"a parameter of the kernel {name!r} has another type than its column needs",
        expected=f"{parameter.in_cuda()} {parameter.name}, {what}",
        found=text,
    )


def _mistake(log: str, name: str, source: str) -> PlanError:
    """Return the error for a source that does not compile."""
    errors = list(_ERROR.finditer(log))
    if not errors:
        return PlanError(f"the source of the kernel {name!r} does not compile", found=log.strip())
    # What follows from a name that is not there comes before it.
    first = next((error for error in errors if error["text"].endswith("is undefined")), errors[0])
    lines = source.splitlines()
    line = int(first["line"] or len(lines))
    more = f" (and {counted(len(errors) - 1, 'errors')} more)" if len(errors) > 1 else ""
    return PlanError(
        f"the source of the kernel {name!r} does not compile: line {line}: {first['text']}{more}",
        found=lines[line - 1].strip() if 0 < line <= len(lines) else None,
        hint=_hint(first["text"]),
    )


def _hint(text: str) -> str | None:
    if "open source file" in text:
        return "the compiler has no header files; the functions and types of CUDA C++ need none"
    if re.search(r'identifier "u?int\d+_t" is undefined', text):
        return "the compiler has no header files: write long long, unsigned char and so on"
    if "host functions are not allowed" in text:
        return "write __global__ before the kernel, and __device__ before the functions that it calls"
    return None
