cdef double LEAST_WORK


cdef class Team:
    # Threads in a grid: groups divide the rows of a batch, the lanes of a group the columns of each product.
    cdef readonly int n_threads, n_groups, n_lanes
    cdef readonly double seconds        # a step, the median of the last trials
    cdef list times                     # theirs
    cdef double handicap                # what seconds are multiplied by in a comparison


cdef class Tuner:
    cdef readonly list levels           # lists of teams by number of threads, ascending
    cdef readonly Team best
    cdef public Team fixed              # takes all steps, if not None
    cdef readonly Py_ssize_t steps      # of the stretch that choose() has handed out
    cdef int start, lowest              # the level to look at first, the lowest to look at
    cdef Py_ssize_t trial_steps
    cdef list pending                   # teams whose trials the search under way still wants, or None
    cdef list searched                  # its levels
    cdef Py_ssize_t tried               # steps of its trials
    cdef double busy                    # seconds in all steps so far
    cdef double last_search, next_search, interval, expected
    cdef double settled_seconds         # of the best team since the last search
    cdef Py_ssize_t settled_steps
    cpdef Team choose(self, Py_ssize_t left)
    cdef Team look(self, Py_ssize_t left)
    cdef remember(self)
    cdef extend(self)
    cpdef int note(self, Team team, Py_ssize_t steps, double seconds) except -1
