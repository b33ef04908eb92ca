/* Threads of one parallel region: OpenMP where it was compiled in, a barrier of our own, and what to do
 * about fork. */
#ifndef FASTNN_THREADS_H
#define FASTNN_THREADS_H
#include <stdint.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef _WIN32
#include <windows.h>
#else
#include <sched.h>
#endif

static inline int fnn_thread_num(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static inline int fnn_num_threads(void)
{
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

/* A barrier for n threads. Spinning is bounded: a thread that waits longer than about 20 us (`spins` rounds)
 * yields, so that more threads than cores make progress. */
typedef struct {
    _Alignas(64) int arrived;
    _Alignas(64) int generation;
} fnn_barrier;

static inline void fnn_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void fnn_yield(void)
{
#ifdef _WIN32
    SwitchToThread();
#else
    sched_yield();
#endif
}

/* A moment of waiting: the first *spins of a row keep the core, the others offer it. Returns whether it was offered. */
static inline int fnn_pause(int *spins)
{
    if (*spins > 0) {
        --*spins;
        fnn_relax();
        return 0;
    }
    fnn_yield();
    return 1;
}

static inline void fnn_barrier_wait(fnn_barrier *b, int n, int spins)
{
    if (n == 1) return;
    int generation = __atomic_load_n(&b->generation, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == n) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&b->generation, __ATOMIC_ACQUIRE) == generation) fnn_pause(&spins);
}

/* How many wait at the barrier. */
static inline int fnn_barrier_arrived(const fnn_barrier *b) { return __atomic_load_n(&b->arrived, __ATOMIC_ACQUIRE); }

/* The CPU that the thread runs on, or -1 where the system does not say. */
int fnn_cpu(void);
/* Moves the thread to a CPU that none of cpus[0 .. n) names, if it may run on such a one. */
void fnn_leave_cpus(const int *cpus, int n);

/* Seconds since some moment; monotonic. */
static inline double fnn_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void fnn_guard_fork(void);     /* call once: makes parallel regions work in forked children */
int fnn_fork_broken(void);     /* whether this process is a child that must stay on one thread */
int fnn_openmp_version(void);  /* 0 without OpenMP */
int fnn_openmp_max_threads(void);
#endif
