/* head_load_choice.h - what commands on head loads share: opening one, which classes and which block a
 * command line means. */
#ifndef MOHVIT_HEAD_LOAD_CHOICE_H
#define MOHVIT_HEAD_LOAD_CHOICE_H

#include "eval/importance_file.h"
#include "vit/headload/head_load.h"

/* Whether this is a head load, as far as its first bytes tell: a safetensors file and no state. */
bool head_load_is_in(const char *path);

/* Opens the file; NULL where the reason has been reported. */
head_load *head_load_open_or_complain(const char *path);

/* "counted without 4.0:r3,r5, whose gates are 0": malloc'd; NULL: it was counted with all heads. */
char *head_load_without(const head_load *l);

/* The block of this name, "S.B" (stage from 1, block from 0, as in the names of the tensors); the last that
 * routes where text is "last" or NULL. NULL, and a message, where there is none. name: the file that l is of.
 */
const routing_block *choice_block_or_complain(const routing_layout *l, const char *name, const char *text);

/* Whether text is well formed, at all: to be asked before anything is opened. */
bool choice_block_valid_or_complain(const char *text);

typedef struct class_choice {
    size_t *classes; /* (count), owned */
    size_t count, capacity;
} class_choice;

/* Adds the classes of a list "Sneaker,Bag,n02012849,7", each named in any way that classes.h takes. One that
 * none or several classes answer to is reported: false. */
bool choice_add_or_complain(class_choice *chosen, const head_load *l, const char *list);

/* Adds the classes that have pictures: those of a figure or page that nobody chose others for. */
void choice_add_counted(class_choice *chosen, const head_load *l);

/* Says how many classes choice_add_counted left out, if any. */
void choice_note_left_out(const class_choice *chosen, const head_load *l);

/* importance_read; false where the reason has been reported. Says so where pictures failed. */
bool importance_open_or_complain(importance_table *out, const char *path, const head_load *l,
                                 const char *load_name);

/* ],"data":[...],"provenance":{...}}: the end of a line of JSON about a head load, behind its rows. */
void output_head_load_end(const head_load *l);

#endif
