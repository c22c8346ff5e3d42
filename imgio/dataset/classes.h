/* classes.h - from what people write for a class to its index: "207", "n02099601", "golden retriever".
 * Nothing is guessed: what fits no class, or more than one, is an error that says so. */
#ifndef MOHVIT_CLASSES_H
#define MOHVIT_CLASSES_H

#include "base/error.h"

/* The classes that a model tells apart. */
typedef struct class_names {
    size_t count;
    char *const *name; /* (count) label: one name, or several with ", " between them */
    char *const *id;   /* (count) WordNet id, or NULL */
} class_names;

typedef struct class_table class_table;

/* Copies nothing: names live as long as the table. *out is set on success alone. */
mohvit_status class_table_create(class_table **out, const class_names *names, mohvit_error *err);
void class_table_destroy(class_table *t);
size_t class_count(const class_table *t);

#define CLASS_NONE      SIZE_MAX
#define CLASS_AMBIGUOUS (SIZE_MAX - 1)

/* By WordNet id. */
size_t class_by_id(const class_table *t, const char *id);

/* By label: the whole one as it is written, else the whole one or one of its names with upper and lower case
 * and all bytes that are neither letters nor digits taken for the same ("T-shirt/top" is "t_shirt_top", which
 * a folder can be called). CLASS_AMBIGUOUS where it is the name of several. */
size_t class_by_name(const class_table *t, const char *name);

/* Whatever text is: an index, a WordNet id or a name. A number that is one class's index and another's label
 * is an error. where (a file and line) begins the message. */
mohvit_status class_parse(const class_table *t, const char *text, const char *where, size_t *out,
                          mohvit_error *err);

/* Whether text is an index, which is then *out, however large. */
bool class_is_index(const char *text, size_t *out);

/* The error for an index that no class has. It explains one that equals the number of classes, the mark of a
 * numbering that begins with 1, such as ILSVRC's own. */
mohvit_status class_out_of_range(const class_table *t, size_t index, const char *where, mohvit_error *err);

/* The same for a list of indices that ends within the range and yet is ILSVRC's: why it cannot be used. */
extern const char class_devkit_numbers[];

/* What a folder's name says of its class. */
typedef enum folder_rule {
    FOLDERS_BY_NAME,  /* it is a WordNet id or a label */
    FOLDERS_BY_ORDER, /* nothing: the folders, sorted by the bytes of their names, are the classes in order */
    FOLDERS_BY_NUMBER /* it is an index; for a model whose labels are numbers, one of those */
} folder_rule;

typedef struct class_folder {
    const char *name;
    size_t pictures;    /* in it */
    size_t class_index; /* out; CLASS_NONE: none, as it holds no pictures */
} class_folder;

/* The classes of folders, sorted by name; where names what holds them. Where no labels are known, by name is
 * by order, which warn hears of: nothing can contradict it then. Where order counts, each class has a folder
 * with pictures in it; else folders without pictures are skipped with a warning. */
mohvit_status classes_of_folders(const class_table *t, class_folder *folders, size_t count, folder_rule rule,
                                 const char *where, const warning_sink *warn, mohvit_error *err);

#endif
