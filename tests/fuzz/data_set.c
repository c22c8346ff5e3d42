#include "tests/fuzz/data_set.h"

#include "tests/fuzz/fuzz.h"
#include "eval/header.h"

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

static void open_with(const char *argument, const dataset_options *options, bool read)
{
    char *arguments[] = {(char *)(uintptr_t)argument};
    dataset *d;
    mohvit_error err;
    if (fuzz_checked(dataset_open(&d, arguments, 1, options, &err), &err, NULL))
        return;
    char print[FINGERPRINT_SIZE];
    dataset_fingerprint(d, true, print);
    dataset_fingerprint_candidates(d, false, print);
    if (read)
        read_items(d);
    dataset_close(d);
}

void fuzz_open_data_set(const char *argument, bool read)
{
    static const bool subset[10] = {true, true, true, true};
    const dataset_options
        labelled = {.classes = fuzz_classes(), .sample = 100, .warn = {fuzz_warn, NULL}},
        unlabelled = {.classes = fuzz_classes(),
                      .unlabelled = true,
                      .subset = subset,
                      .sample = 2,
                      .image_ext = "seg.png,x.jpg",
                      .null_lists = true,
                      .warn = {fuzz_warn, NULL}},
        by_order = {.classes = fuzz_classes(), .folders = FOLDERS_BY_ORDER, .warn = {fuzz_warn, NULL}},
        by_number = {.classes = fuzz_classes(), .folders = FOLDERS_BY_NUMBER, .warn = {fuzz_warn, NULL}},
        from_names = {.classes = fuzz_classes(), .from_names = true, .warn = {fuzz_warn, NULL}};
    open_with(argument, &labelled, read);
    open_with(argument, &unlabelled, read);
    open_with(argument, &by_order, false);
    open_with(argument, &by_number, false);
    open_with(argument, &from_names, false);
}

void fuzz_open_with_truth(const char *argument, const char *truth, const char *real_labels)
{
    const dataset_options options = {.classes = fuzz_classes(),
                                     .truth = truth,
                                     .real_labels = real_labels,
                                     .limit = 3,
                                     .warn = {fuzz_warn, NULL}};
    open_with(argument, &options, false);
}
