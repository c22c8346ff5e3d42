/* outputs_check.h - no output of a command may be one of its inputs or another output: writing it would
 * destroy what the user means to keep. A command declares each file that its command line names, with the
 * option that names it, and checks them all before it opens any for writing. */
#ifndef MOHVIT_OUTPUTS_CHECK_H
#define MOHVIT_OUTPUTS_CHECK_H

#include "imgio/dataset/dataset.h"

/* Weights may be the index of shards, which are read as well; data are an argument of dataset_open; a state
 * is an output that a run appends to. */
typedef enum file_use { FILE_READ, FILE_WEIGHTS, FILE_DATA, FILE_STATE, FILE_OUTPUT } file_use;

/* Declares a file by its option; NULL: an argument. path is borrowed, and may be NULL: there is none. */
void names_file(file_use use, const char *option, const char *path);

/* The same of an option's value, which becomes *path; true, as option_taker wants it. */
bool takes_file(file_use use, const char *option, const char *value, const char **path);

/* takes_file of a list to be read, where "-" is standard input. */
bool takes_list(const char *option, const char *value, const char **path);

/* NULL for "-", where that is a stream and no file. */
const char *unless_stream(const char *path);

/* PARSED; or EXIT_USAGE and a message that names both options, where an output is an input or another output
 * under any name, or would be a picture in a folder of the data. Two names are one file's where they lead to
 * one inode, or to none yet, in one folder and with one last name. */
int outputs_check(const char *name);

/* The same for the pictures of the data, which lists and links may bring from anywhere. */
int outputs_check_pictures(const char *name, const dataset *d);

/* The same for one more file that is read, such as a list names. */
int outputs_check_file(const char *name, const char *path);

/* PARSED; or EXIT_USAGE and a message, where safetensors would get a name that ends as PyTorch's files do. */
int safetensors_name_check(const char *name, const char *path);

/* False, and a message that names the option, where an output cannot be made: to be asked before any work. */
bool outputs_possible_or_complain(void);

#endif
