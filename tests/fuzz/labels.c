/* Label files, labels in JSON, and the table of classes that they make. */
#include "weights/labels.h"

#include "imgio/dataset/classes.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_labels(labels *l)
{
    class_table *table;
    mohvit_error err;
    const class_names names = {l->count, l->name, l->id};
    if (!fuzz_checked(class_table_create(&table, &names, &err), &err, NULL)) {
        size_t found;
        for (size_t i = 0; i < l->count && i < 8; i++) {
            fuzz_checked(class_parse(table, l->name[i], "x", &found, &err), &err, "x");
            class_by_name(table, l->name[i]);
        }
        class_table_destroy(table);
    }
    char *json = labels_to_json(l);
    labels again;
    fuzz_require(json && !labels_from_json(&again, json, "again", &err) && again.count == l->count,
                 "what was written does not read back");
    free(json);
    labels_free(&again);
    labels_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    labels l;
    mohvit_error err;
    const char *path = fuzz_file(0, data, size);
    if (!fuzz_checked(labels_read(&l, path, &err), &err, path))
        check_labels(&l);
    char *json = malloc(size + 1);
    fuzz_require(json, "no memory for a copy");
    memcpy(json, data, size);
    json[size] = '\0';
    if (!fuzz_checked(labels_from_json(&l, json, "x.json", &err), &err, "x.json"))
        check_labels(&l);
    free(json);
    return 0;
}
