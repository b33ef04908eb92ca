"""Builds the compiled modules: one C library per instruction set, OpenMP where a probe finds it.

Everything else about the package stands in pyproject.toml. Environment variables:

FASTNN_NO_OPENMP=1   build for one thread
FASTNN_DEBUG=1       bounds checks in Cython, debug symbols
FASTNN_WERROR=1      warnings of our own C are errors
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools._distutils.ccompiler import new_compiler
from setuptools._distutils.sysconfig import customize_compiler
from setuptools.errors import CompileError, LinkError

CSRC = Path("fastnn/_kernels/csrc")
DEBUG = os.environ.get("FASTNN_DEBUG", "") not in ("", "0")
WERROR = os.environ.get("FASTNN_WERROR", "") not in ("", "0")
MSVC = sys.platform == "win32"

# A multiply-add is fused only where the source says so (-ffp-contract=off), and nothing here may change the
# floating-point mode of the process: no -ffast-math, which links crtfastmath.o.
C_FLAGS = ["/O2"] if MSVC else [
    "-O1" if DEBUG else "-O3", "-g" if DEBUG else "-g0", "-std=gnu11", "-fvisibility=hidden",
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra",
]  # fmt: skip
# Cython's own output is not held to -Wextra. It calls kernels and Python: -Os makes its modules 1.3 MB, -O3 2.0. The
# module with the scan of all samples is compiled as the kernels are, and so are the doors that each call goes through;
# all of it compiled for speed would save 0.3 us a call.
CYTHON_FLAGS = [flag for flag in C_FLAGS if flag not in ("-O3", "-Wall", "-Wextra")]
CYTHON_LEVELS = {"door": "-O3", "threads": "-O2"}
if not MSVC:
    CYTHON_FLAGS.append("-fno-asynchronous-unwind-tables")
if WERROR and not MSVC:
    C_FLAGS.append("-Werror")

ISA_FLAGS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mf16c",
               "-mprefer-vector-width=512"],
}  # fmt: skip

# The package is to take at most 5 MB installed. Who has no AVX2 has a processor of before 2013; scalar loops are not
# copied for each of their cases.
LEVELS = {isa: [] if MSVC else ["-fPIC"] + (["-O1"] if DEBUG else level) for isa, level in {
    "baseline": ["-Os"],
    "avx2": ["-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic"],
    "avx512": ["-O3", "-fno-unswitch-loops", "-fno-peel-loops", "-fno-split-loops"],
}.items()}

# No symbols, and constants on the pages of the code rather than on pages of their own: 4 KB less for each module.
LINK_FLAGS = ["-Wl,-s,-z,noseparate-code"] if sys.platform == "linux" and not (MSVC or DEBUG) else []

OPENMP_PROBE = """
#include <omp.h>
#include <stdio.h>
int main(void)
{
    int n = 0;
    #pragma omp parallel num_threads(2) reduction(+:n)
    n += 1;
    omp_pause_resource_all(omp_pause_hard);
    printf("%d", n);
    return n < 1;
}
"""


def builds(source, flags, run=False):
    """Whether the compiler takes `source` with `flags` (and the program ends with 0)."""
    compiler = new_compiler()
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.c"
        path.write_text(source)
        try:
            objects = compiler.compile([str(path)], output_dir=folder, extra_postargs=flags)
            if run:
                compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=flags)
                subprocess.run([str(Path(folder) / "probe")], check=True, stdout=subprocess.DEVNULL, timeout=60)
        except (CompileError, LinkError, OSError, subprocess.SubprocessError):
            return False
    return True


def openmp_flags():
    """Flags that turn OpenMP on, or [] (fastnn then runs on one thread and show_config() says so)."""
    if os.environ.get("FASTNN_NO_OPENMP", "") not in ("", "0"):
        return []
    flags = ["/openmp"] if MSVC else ["-fopenmp"]
    if builds(OPENMP_PROBE, flags, run=True):
        return flags
    print("fastnn: no working OpenMP found, building for one thread", file=sys.stderr)
    return []


def instruction_sets():
    """The levels to compile: the portable one, and on x86-64 those that the compiler knows."""
    x86 = platform.machine().lower() in ("x86_64", "amd64") and not MSVC
    return ["baseline"] + [isa for isa in ("avx2", "avx512")
                           if x86 and builds("int main(void) { return 0; }", ISA_FLAGS[isa])]  # fmt: skip


levels = instruction_sets()
openmp = openmp_flags()
headers = [str(path) for path in sorted(CSRC.glob("*.h")) + sorted(CSRC.glob("*.inc.c"))]
macros = [(f"FNN_HAVE_{isa.upper()}", "1") for isa in levels]

libraries = [
    (f"fastnn_{isa}", {
        "sources": [str(CSRC / f"isa_{isa}.c")],
        "include_dirs": [str(CSRC)],
        "cflags": [flag for flag in C_FLAGS if flag != "-O3"] + LEVELS[isa] + ISA_FLAGS[isa],
        "obj_deps": {"": headers},
    })
    for isa in levels
]  # fmt: skip


def extension(name, extra_sources=()):
    return Extension(
        f"fastnn._kernels.{name}",
        [f"fastnn/_kernels/{name}.pyx", *(str(CSRC / source) for source in extra_sources)],
        include_dirs=[str(CSRC)],
        define_macros=macros,
        extra_compile_args=CYTHON_FLAGS + openmp + ([] if MSVC or DEBUG else [CYTHON_LEVELS.get(name, "-Os")]),
        extra_link_args=openmp + LINK_FLAGS,
        depends=headers,
    )


extensions = [
    extension("dispatch"),
    extension("door", ["source_scan.c", "entries.c"]),
    extension("threads", ["threads.c"]),
    extension("calls", ["optimizer_scalars.c", "pattern.c", "topology.c", "entries.c", "words.c"]),
    extension("teams"),
    extension("ops", ["entries.c"]),
    extension("updates", ["optimizer_scalars.c"]),
    extension("restraints"),
    extension("norm_ops"),
    extension("conv_ops"),
    extension("sparse_ops", ["pattern.c"]),
    extension("binary_ops"),
    extension("program", ["optimizer_scalars.c"]),
]

setup(
    libraries=libraries,
    ext_modules=cythonize(
        extensions,
        language_level=3,
        # One folder a mode: cythonize does not notice that directives have changed.
        build_dir="build/cython-debug" if DEBUG else "build/cython",
        compiler_directives={
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": DEBUG,
            "cdivision": True,
            "embedsignature": True,
            "freethreading_compatible": True,
            "auto_pickle": False,  # no part of the engine is pickled: a model's copy compiles its own
        },
    ),
)
