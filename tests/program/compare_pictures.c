/* compare_pictures A B: how far the pixels of two pictures of one size are apart, as "LARGEST SHARE": the
 * largest difference of a value, and the share of values that differ. */
#include "imgio/image.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    image a, b;
    mohvit_error err = {.message = "expected two pictures"};
    if (argc != 3 || image_read(&a, argv[1], NULL, false, &err) ||
        image_read(&b, argv[2], NULL, false, &err) || a.width != b.width || a.height != b.height) {
        fprintf(stderr, "compare_pictures: %s\n", *err.message ? err.message : "two sizes");
        return 1;
    }
    int largest = 0;
    size_t values = a.width * a.height * 3, different = 0;
    for (size_t i = 0; i < values; i++) {
        int difference = abs((int)a.rgb[i] - (int)b.rgb[i]);
        largest = difference > largest ? difference : largest;
        different += difference != 0;
    }
    printf("%d %.6f\n", largest, (double)different / (double)values);
    image_free(&a);
    image_free(&b);
    return 0;
}
