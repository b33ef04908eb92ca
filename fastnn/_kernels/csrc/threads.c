/* fork and libgomp: a forked child that inherits a used thread pool hangs in its first parallel region, since
 * the pool's threads did not come along (GCC bug 60035). Releasing the forking thread's pool just before fork
 * leaves both processes with a clean one; it costs about 0.65 ms. Where that is refused (fork from inside a
 * region), the child stays on one thread. */
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
