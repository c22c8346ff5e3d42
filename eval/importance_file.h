/* importance_file.h - what `headload ablate --format json` printed, read again. */
#ifndef MOHVIT_IMPORTANCE_FILE_H
#define MOHVIT_IMPORTANCE_FILE_H

#include "eval/importance.h"
#include "vit/headload/head_load.h"

typedef struct importance_table {
    uint64_t images, failed; /* that were scored, and that could not be */
    bool renormalise;
    size_t max_heads;
    importance *heads; /* (blocks, max_heads), owned: importance_table_free */
} importance_table;

/* Of the model and the data that the head load is of: heads that it does not have, other weights, and
 * pictures that were not among those that its own were chosen from are an error, as is a run that was
 * stopped. load_name is of the head load, for messages. *out is set on success alone. */
mohvit_status importance_read(importance_table *out, const char *path, const head_load *l,
                              const char *load_name, mohvit_error *err);
void importance_table_free(importance_table *t);

/* What the absence of this head alone costs; NULL where the file does not say. t may be NULL. */
const importance *importance_of(const importance_table *t, const routing_block *b, size_t head);
/* Whether it says that of any head of the block. */
bool importance_of_any(const importance_table *t, const routing_block *b);

#endif
