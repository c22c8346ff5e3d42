/* Files of lines: pictures' paths (none is opened), their classes by name, in order and as CSV, a subset of
 * classes. */
#include "tests/fuzz/data_set.h"
#include "tests/fuzz/fuzz.h"
#include "imgio/dataset/truth.h"

static void check_truth(const char *path, line_end ends)
{
    static const char *const names[] = {"a/x.jpg", "./x", "x", "a/b/ILSVRC2012_val_00000293.JPEG", "y.jpg"};
    const warning_sink warn = {fuzz_warn, NULL};
    const size_t classes = class_count(fuzz_classes());
    truth *t;
    mohvit_error err;
    if (!fuzz_checked(truth_read_in_order(&t, path, ends, fuzz_classes(), &warn, &err), &err, path)) {
        fuzz_require(t->count && truth_class_at(t, t->count - 1) < classes, "a class that is none");
        truth_free(t);
    }
    if (fuzz_checked(truth_read(&t, path, ends, fuzz_classes(), &warn, &err), &err, path))
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t found;
        if (!fuzz_checked(truth_find(t, "val/", names[i], &found, &err), &err, path))
            fuzz_require(found == CLASS_NONE || found < classes, "a class that is none");
    }
    truth_unused(t);
    truth_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool chosen[10];
    mohvit_error err;
    const char *path = fuzz_file(0, data, size);
    check_truth(path, LINES_NEWLINE);
    check_truth(path, LINES_EITHER);
    check_truth(path, LINES_ESCAPED);
    fuzz_checked(subset_read(chosen, path, LINES_NEWLINE, fuzz_classes(), &err), &err, path);
    fuzz_open_data_set(path, false);
    fuzz_open_with_truth(path, path, NULL);
    return 0;
}
