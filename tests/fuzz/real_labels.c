/* ImageNet ReaL's real.json. */
#include "tests/fuzz/data_set.h"
#include "tests/fuzz/fuzz.h"
#include "imgio/dataset/truth.h"

/* Pictures of the names that ReaL gives classes to, and one of another. */
static const char pictures[] = "val/ILSVRC2012_val_00000001.JPEG\nval/ILSVRC2012_val_00000002.JPEG\n",
                  other[] = "val/x.jpg\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    real_labels r;
    mohvit_error err;
    const char *path = fuzz_file(0, data, size);
    if (fuzz_checked(real_labels_read(&r, path, fuzz_classes(), &err), &err, path))
        return 0;
    for (size_t i = 0; i < r.count; i++)
        for (size_t k = r.first[i]; k < r.first[i + 1]; k++)
            fuzz_require(r.classes[k] < class_count(fuzz_classes()), "a class that is none");
    real_labels_find(&r, "val/ILSVRC2012_val_00000003.JPEG");
    real_labels_free(&r);
    fuzz_open_with_truth(fuzz_file(1, (const uint8_t *)pictures, sizeof pictures - 1), NULL, path);
    fuzz_open_with_truth(fuzz_file(1, (const uint8_t *)other, sizeof other - 1), NULL, path);
    return 0;
}
