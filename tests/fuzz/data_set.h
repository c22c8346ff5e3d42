/* data_set.h - opening data sets, with classes to open them with. */
#ifndef MOHVIT_FUZZ_DATA_SET_H
#define MOHVIT_FUZZ_DATA_SET_H

#include "imgio/dataset/dataset.h"

/* Ten classes, the first with WordNet ids; two have a name in common. */
const class_table *fuzz_classes(void);

/* Opens the argument with the labels of its own, then as pictures without, and by each of the rules for
 * folders and names; reads its first items if asked. */
void fuzz_open_data_set(const char *argument, bool read);

/* The same with files that give classes; either may be NULL. Reads nothing. */
void fuzz_open_with_truth(const char *argument, const char *truth, const char *real_labels);

#endif
