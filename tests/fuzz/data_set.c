#include "data_set.h"

#include "fuzz.h"

const class_table *fuzz_classes(void)
{
    static char *names[] = {
        "T-shirt/top", "trouser", "goldfish, Carassius auratus", "dress", "coat", "Sandal", "shirt", "crane",
        "bag",         "crane"};
    static char *ids[10] = {"n01440764", "n01443537", "n01484850", "n01491361"};
    static class_table *table;
    static const class_names classes = {10, names, ids};
    if (!table)
        fuzz_require(!class_table_create(&table, &classes, NULL), "no memory for classes");
    return table;
}

static void read_items(const dataset *d)
{
    for (size_t i = 0; i < dataset_count(d) && i < 16; i++) {
        sample s;
        mohvit_error err;
        if (!fuzz_checked(dataset_read(d, i, &s, &err), &err, dataset_prefix(d, 0)))
            sample_free(&s);
    }
}

void fuzz_open_data_set(const char *argument, bool read)
{
    for (int unlabelled = 0; unlabelled < 2; unlabelled++) {
        char *arguments[] = {(char *)(uintptr_t)argument};
        const dataset_options options = {
            .classes = fuzz_classes(), .unlabelled = unlabelled, .sample = 100, .warn = {fuzz_warn, NULL}};
        dataset *d;
        mohvit_error err;
        if (fuzz_checked(dataset_open(&d, arguments, 1, &options, &err), &err, NULL))
            continue;
        if (read)
            read_items(d);
        dataset_close(d);
    }
}
