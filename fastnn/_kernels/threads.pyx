"""How many threads a call may use, resolved in one place."""

from cython.parallel cimport parallel
from libc.string cimport memset

import os
import warnings


cdef extern from "threads.h" nogil:
    void fnn_guard_fork()
    int fnn_fork_broken()
    int fnn_openmp_version()
    int fnn_openmp_max_threads()
    int fnn_cpu()
    void fnn_leave_cpus(const int* cpus, int n)


MAX_THREADS = 1024
cdef enum:
    MOST_SPREAD = 256

fnn_guard_fork()


cdef int team_size(int n_threads) noexcept nogil:
    """`n_threads`, or 1 in a forked child whose OpenMP runtime could not be cleaned before the fork."""
    return 1 if fnn_fork_broken() else n_threads


cdef void spread_threads(int thread, int n_threads, int* cpus, fnn_barrier* everyone) noexcept nogil:
    """Called by all threads of a region at its start: those that share a CPU with an earlier one look for another.

    cpus : int (n_threads,), written here
    """
    cdef int i
    cpus[thread] = fnn_cpu()
    fnn_barrier_wait(everyone, thread, n_threads, 1000)
    for i in range(thread):
        if cpus[i] == cpus[thread] and cpus[i] >= 0:
            fnn_leave_cpus(cpus, n_threads)
            return


cdef int ready_team(int n_threads) noexcept nogil:
    """team_size(n_threads), whose threads have just spread over the CPUs: for loops that OpenMP divides. One more
    region costs a microsecond; two threads on one CPU made a product of 64 x 64 x 64 a thousand times slower, each
    waiting for the other to use up its time slice."""
    cdef int n = team_size(n_threads)
    cdef int cpus[MOST_SPREAD]
    cdef fnn_barrier everyone
    if 1 < n <= cores and n <= MOST_SPREAD:
        memset(&everyone, 0, sizeof(fnn_barrier))
        with parallel(num_threads=n):
            spread_threads(fnn_thread_num(), fnn_num_threads(), cpus, &everyone)
    return n


def _cgroup_cpus():
    """CPUs that the control group's quota allows (version 2, then 1), or None."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return None
    if quota == "max" or int(quota) <= 0:
        return None
    return max(1, -(-int(quota) // int(period)))


def _physical_cores(cpus):
    """Distinct cores among the logical `cpus`; two hardware threads of a core share its multipliers."""
    cores = set()
    for cpu in cpus:
        try:
            with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") as file:
                cores.add(file.read().strip())
        except OSError:
            cores.add(str(cpu))
    return len(cores)


def default_num_threads():
    """Physical cores that this process may run on, at most what OpenMP (OMP_NUM_THREADS) allows."""
    try:
        cpus = os.sched_getaffinity(0)
    except AttributeError:
        cpus = range(os.cpu_count() or 1)
    allowed = min(_physical_cores(cpus), fnn_openmp_max_threads())
    quota = _cgroup_cpus()
    return max(1, min(allowed, quota) if quota else allowed)


def check_n_threads(n_threads):
    """`n_threads` as an int in [1, MAX_THREADS]; else TypeError or ValueError."""
    if isinstance(n_threads, bool) or not hasattr(n_threads, "__index__"):
        raise TypeError(f"n_threads must be an integer or None; received {n_threads!r}")
    n = n_threads.__index__()
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"n_threads must be in [1, {MAX_THREADS}]; received {n}")
    return n


_default = None


def set_num_threads(n_threads):
    """Set how many threads fastnn uses where a call names none.

    Parameters
    ----------
    n_threads : int or None
        From 1 to 1024; None returns to the default: the physical cores that the process may run on, at most
        what ``OMP_NUM_THREADS`` allows. Nothing but fastnn is affected.

    Raises
    ------
    TypeError, ValueError
        If `n_threads` is not an integer, or out of range.

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.set_num_threads(2)
    >>> fnn.get_num_threads()
    2
    >>> fnn.set_num_threads(None)
    """
    global _default
    _default = None if n_threads is None else check_n_threads(n_threads)


def get_num_threads():
    """Number of threads that fastnn uses where a call names none.

    Returns
    -------
    int
        What `set_num_threads` set, else the environment variable ``FASTNN_NUM_THREADS``, else the physical cores
        that the process may run on, at most what ``OMP_NUM_THREADS`` allows.

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.get_num_threads() >= 1
    True
    """
    global _default
    if _default is None:
        wanted = os.environ.get("FASTNN_NUM_THREADS", "")
        if wanted:
            try:
                _default = check_n_threads(int(wanted))
            except ValueError:
                warnings.warn(f"FASTNN_NUM_THREADS={wanted!r} is ignored: an integer in [1, {MAX_THREADS}] is allowed",
                              RuntimeWarning, stacklevel=2)
        if _default is None:
            _default = default_num_threads()
    return _default


def effective_n_threads(n_threads=None):
    """The number of threads for a call's `n_threads` argument: itself if allowed, the default for None."""
    return get_num_threads() if n_threads is None else check_n_threads(n_threads)


def openmp_version():
    """The OpenMP version's date (such as 201511), or 0 where fastnn was built without it."""
    return fnn_openmp_version()


cdef int cores = default_num_threads()
