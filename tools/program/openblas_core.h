/* openblas_core.h - which of its cores OpenBLAS runs. */
#ifndef MOHVIT_OPENBLAS_CORE_H
#define MOHVIT_OPENBLAS_CORE_H

/* OpenBLAS takes a processor that is newer than itself for an old one: 0.3.21 runs code for SSE3 on an
 * Emerald Rapids, and S-75 takes 351 ms, not 108. From here on, where it does that, OPENBLAS_CORETYPE is set
 * to what the processor has, unless it is set, or a thread exists already. */
void openblas_core_begin(void);

#endif
