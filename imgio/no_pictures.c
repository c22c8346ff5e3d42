/* In place of the decoders, where they are left out (MOHVIT_PICTURES=OFF): pixels alone are taken. */
#include "imgio/image.h"

static mohvit_status refuse(const char *name, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                     "%s: this build of mohvit reads no picture files; expected pixels", name);
}

mohvit_status image_decode(UNUSED image *out, UNUSED const void *data, UNUSED size_t size, const char *name,
                           UNUSED const image_limits *limits, UNUSED bool exif_orientation, mohvit_error *err)
{
    return refuse(name, err);
}

mohvit_status image_read(UNUSED image *out, const char *path, UNUSED const image_limits *limits,
                         UNUSED bool exif_orientation, mohvit_error *err)
{
    return refuse(path, err);
}
