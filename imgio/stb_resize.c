#include "imgio/stb_resize.h"

/* Its assertions watch rounding in its own tables, not its caller; input must not be able to abort us. */
#define STBIR_ASSERT(condition) ((void)0)
#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include <stb_image_resize.h>

bool stb_resize(const uint8_t *in, stb_axis x, stb_axis y, resize_filter filter, uint8_t *out)
{
    stbir_filter kernel = filter == RESIZE_BILINEAR ? STBIR_FILTER_TRIANGLE : STBIR_FILTER_CATMULLROM;
    /* Zero edges with an alpha channel: dividing by alpha renormalises a kernel that the border cuts, which
     * is what Pillow does. STBIR_EDGE_CLAMP would repeat the border pixel instead. */
    return stbir_resize_subpixel(in, x.in, y.in, 0, out, x.out, y.out, 0, STBIR_TYPE_UINT8, 4, 3, 0,
                                 STBIR_EDGE_ZERO, STBIR_EDGE_ZERO, kernel, kernel, STBIR_COLORSPACE_LINEAR,
                                 NULL, x.scale, y.scale, x.shift, y.shift);
}
