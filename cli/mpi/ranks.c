/* SPDX-License-Identifier: Apache-2.0 */
/* ranks.c: the only user of MPI, a module that quern loads when mpirun started it, so that other runs never touch the library.
 *   mpirun -n 4 quern explore …  ->  ranks_open gives 0..3 of 4, ranks_gather hands every rank the blocks of all */
#include <mpi.h>
#include <stddef.h>

int ranks_open(int *rank, int *ranks);
int ranks_gather(const void *block, size_t bytes, void *all);
void ranks_close(void);

int ranks_open(int *rank, int *ranks) {
    int provided;
    return MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) == MPI_SUCCESS &&
           MPI_Comm_rank(MPI_COMM_WORLD, rank) == MPI_SUCCESS && MPI_Comm_size(MPI_COMM_WORLD, ranks) == MPI_SUCCESS;
}
/* `all` gets the blocks of all ranks, in order; every rank gives the same number of bytes. */
int ranks_gather(const void *block, size_t bytes, void *all) {
    return MPI_Allgather(block, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, MPI_COMM_WORLD) == MPI_SUCCESS;
}
void ranks_close(void) { MPI_Finalize(); }
