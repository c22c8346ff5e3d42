#include "imgio/decoder.h"
#include "imgio/exif.h"

#include <errno.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

static mohvit_status error_webp(mohvit_error *err, const encoded *in, const char *what)
{
    return error_library(err, MOHVIT_ERROR_FORMAT, what, "%s: WebP", in->name);
}

static size_t little_endian_24(const uint8_t *p)
{
    return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16;
}

/* An extended file states its canvas up front. It is held against the limits before the demuxer compares it
 * with the frames, so that an absurd size is named as such. */
static mohvit_status check_canvas(const encoded *in, mohvit_error *err)
{
    if (in->size < 30 || memcmp(in->data + 12, "VP8X", 4) != 0)
        return MOHVIT_OK;
    return image_check_size(in->name, &in->limits, little_endian_24(in->data + 24) + 1,
                            little_endian_24(in->data + 27) + 1, err);
}

/* Puts the first frame on a canvas that is black where the frame does not reach: transparent black, less its
 * alpha. A still picture is a frame that fills its canvas. */
static mohvit_status read_first_frame(const WebPDemuxer *demuxer, image *out, const encoded *in,
                                      mohvit_error *err)
{
    mohvit_status status =
        image_alloc(out, in->name, &in->limits, WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH),
                    WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT), err);
    if (status)
        return status;
    WebPIterator frame;
    if (!WebPDemuxGetFrame(demuxer, 1, &frame))
        return error_webp(err, in, "no frame");
    size_t stride = out->width * 3;
    size_t bytes = stride * out->height;
    size_t start = (size_t)frame.y_offset * stride + (size_t)frame.x_offset * 3;
    if ((size_t)frame.width < out->width || (size_t)frame.height < out->height)
        memset(out->rgb, 0, bytes);
    bool decoded = start < bytes && WebPDecodeRGBInto(frame.fragment.bytes, frame.fragment.size,
                                                      out->rgb + start, bytes - start, (int)stride);
    WebPDemuxReleaseIterator(&frame);
    return decoded ? MOHVIT_OK : error_webp(err, in, "damaged or truncated pixels");
}

static void read_orientation(const WebPDemuxer *demuxer, unsigned *orientation)
{
    WebPChunkIterator chunk;
    if (!WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk))
        return;
    *orientation = exif_read_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
}

mohvit_status decode_webp(image *out, unsigned *orientation, const encoded *in, mohvit_error *err)
{
    mohvit_status status = check_canvas(in, err);
    if (status)
        return status;
    const WebPData file = {in->data, in->size};
    errno = 0;
    WebPDemuxer *demuxer = WebPDemux(&file); /* NULL unless every chunk is whole */
    if (!demuxer)
        return error_webp(err, in, "damaged or truncated file");
    status = read_first_frame(demuxer, out, in, err);
    if (!status)
        read_orientation(demuxer, orientation);
    WebPDemuxDelete(demuxer);
    return status;
}
