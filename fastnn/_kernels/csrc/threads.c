/* fork and libgomp: a forked child that inherits a used thread pool hangs in its first parallel region, since
 * the pool's threads did not come along (GCC bug 60035). Releasing the forking thread's pool just before fork
 * leaves both processes with a clean one; it costs about 0.65 ms. Where that is refused (fork from inside a
 * region), the child stays on one thread. */
#ifdef __linux__
#define _GNU_SOURCE
#endif
#include "threads.h"

#ifdef _WIN32
void fnn_guard_fork(void) {}
int fnn_fork_broken(void) { return 0; }
#else
#include <pthread.h>

static int pause_refused, fork_broken;

static void before_fork(void)
{
#ifdef _OPENMP
    pause_refused = omp_pause_resource_all(omp_pause_hard) != 0;
#endif
}

static void in_child(void)
{
    if (pause_refused) fork_broken = 1;
}

void fnn_guard_fork(void) { pthread_atfork(before_fork, NULL, in_child); }
int fnn_fork_broken(void) { return fork_broken; }
#endif

int fnn_openmp_version(void)
{
#ifdef _OPENMP
    return _OPENMP;
#else
    return 0;
#endif
}

int fnn_openmp_max_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

/* Linux likes to wake a thread on the CPU of the one that wakes it, takes two that pass a barrier every few
 * microseconds for cache-hot, and leaves them together for a while, beside an idle CPU. After 50 ms of rest that
 * met 83 to 97 % of the regions of two threads (2 cores of an EPYC, Linux 6.18), and 20,000 barriers took 11.9 ms in
 * the mean; 3.9 ms with the call below. Taking the others' CPUs out of the thread's mask moves it at once; the mask
 * is put back right after. */
#ifdef __linux__
int fnn_cpu(void) { return sched_getcpu(); }

void fnn_leave_cpus(const int *cpus, int n)
{
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed)) return; /* more CPUs than cpu_set_t holds */
    others = allowed;
    for (int i = 0; i < n; i++)
        if (cpus[i] >= 0 && cpus[i] < CPU_SETSIZE) CPU_CLR(cpus[i], &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others)) return;
    sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
int fnn_cpu(void) { return -1; }
void fnn_leave_cpus(const int *cpus, int n) { (void)cpus; (void)n; }
#endif
