from libc.stdint cimport uint64_t


cdef extern from "threads.h" nogil:
    ctypedef struct fnn_barrier:
        pass
    int fnn_thread_num()
    int fnn_num_threads()
    void fnn_barrier_wait(fnn_barrier* b, int thread, int n, int spins)
    int fnn_others_arrived(const fnn_barrier* b, int n)
    int fnn_pause(int* spins)
    double fnn_clock()
    uint64_t fnn_flush_subnormals()
    void fnn_restore_subnormals(uint64_t mode)

cdef void spread_threads(int thread, int n_threads, int* cpus, fnn_barrier* everyone) noexcept nogil

cdef int cores                          # default_num_threads() at import

cdef int team_size(int n_threads) noexcept nogil
cdef int ready_team(int n_threads) noexcept nogil
