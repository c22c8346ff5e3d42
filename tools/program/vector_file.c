#include "tools/program/vector_file.h"

#include "base/file_io.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of vectors that are written in one go. */
#define WRITE_BYTES ((size_t)256 << 10)

/* In the order of the file: numbers of 8 bytes first, so that all lie at multiples of their size. */
enum { COLUMN_INDEX, COLUMN_CLASS, COLUMN_OFFSETS, COLUMN_VECTORS, COLUMN_NAMES };

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for rows of features or logits");
}

/* ---- The file -------------------------------------------------------------------------------- */

mohvit_status vector_file_begin(vector_file *f, const char *path, const char *tensor, const vector_shape *s,
                                const json_t *provenance, mohvit_error *err)
{
    *f = (vector_file){.width = s->width};
    char *text = json_dumps(provenance, JSON_COMPACT);
    if (!text)
        return no_memory(err);
    const tensor_info tensors[VECTOR_COLUMNS] = {
        [COLUMN_INDEX] = {"index", DTYPE_I64, 1, {s->rows}, s->rows},
        [COLUMN_CLASS] = {"class", DTYPE_I64, 1, {s->rows}, s->rows},
        [COLUMN_OFFSETS] = {"name_offsets", DTYPE_I64, 1, {s->rows + 1}, s->rows + 1},
        [COLUMN_VECTORS] = {tensor, DTYPE_F32, 2, {s->rows, s->width}, size_product(s->rows, s->width)},
        [COLUMN_NAMES] = {"names", DTYPE_U8, 1, {s->name_bytes}, s->name_bytes},
    };
    const metadata_entry metadata[] = {{tensor, "1"}, {"provenance", text}};
    mohvit_status status = safetensors_writer_create(&f->writer, path, tensors, VECTOR_COLUMNS, metadata,
                                                     sizeof metadata / sizeof *metadata, err);
    free(text);
    bytes_put_u64(&f->columns[COLUMN_OFFSETS], 0);
    return status;
}

static mohvit_status flush(vector_file *f, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < VECTOR_COLUMNS; i++) {
        bytes *b = &f->columns[i];
        status = b->failed ? no_memory(err) : safetensors_writer_put(f->writer, i, b->data, b->size, err);
        b->size = 0;
    }
    return status;
}

mohvit_status vector_file_add(vector_file *f, const void *vector, int64_t index, int64_t class_index,
                              const char *name, mohvit_error *err)
{
    size_t length = strlen(name);
    f->name_end += length;
    bytes_put_u64(&f->columns[COLUMN_INDEX], (uint64_t)index);
    bytes_put_u64(&f->columns[COLUMN_CLASS], (uint64_t)class_index);
    bytes_put_u64(&f->columns[COLUMN_OFFSETS], f->name_end);
    bytes_put(&f->columns[COLUMN_VECTORS], vector, f->width * sizeof(float));
    bytes_put(&f->columns[COLUMN_NAMES], name, length);
    return f->columns[COLUMN_VECTORS].size < WRITE_BYTES ? MOHVIT_OK : flush(f, err);
}

mohvit_status vector_file_finish(vector_file *f, mohvit_status before, mohvit_error *err)
{
    mohvit_status status = before ? before : flush(f, err);
    for (size_t i = 0; i < VECTOR_COLUMNS; i++)
        bytes_free(&f->columns[i]);
    if (!f->writer)
        return status;
    return safetensors_writer_finish(f->writer, status, err);
}

/* ---- The spool ------------------------------------------------------------------------------- */

/* Of a row, before its name and its vector. */
typedef struct spooled {
    uint64_t index, name_length;
} spooled;

static mohvit_status spool_error(mohvit_error *err)
{
    return error_errno(err, "temporary file in %s (TMPDIR)", file_temporary_folder());
}

mohvit_status vector_spool_open(vector_spool *s, size_t width, mohvit_error *err)
{
    *s = (vector_spool){.shape.width = width};
    int fd = file_open_unnamed();
    s->file = fd < 0 ? NULL : fdopen(fd, "w+");
    if (s->file)
        return MOHVIT_OK;
    mohvit_status status = spool_error(err);
    if (fd >= 0)
        close(fd);
    return status;
}

mohvit_status vector_spool_add(vector_spool *s, const float *vector, uint64_t index, const char *name,
                               mohvit_error *err)
{
    const spooled row = {index, strlen(name)};
    bool written = fwrite(&row, sizeof row, 1, s->file) == 1 &&
                   fwrite(name, 1, row.name_length, s->file) == row.name_length &&
                   fwrite(vector, sizeof *vector, s->shape.width, s->file) == s->shape.width;
    s->shape.rows++;
    s->shape.name_bytes += row.name_length;
    return written ? MOHVIT_OK : spool_error(err);
}

/* The next row, which goes to the file; vector (width) is where it is read. */
static mohvit_status copy_row(vector_spool *s, vector_file *f, float *vector, mohvit_error *err)
{
    spooled row;
    errno = EIO; // unless reading says what it was
    if (fread(&row, sizeof row, 1, s->file) != 1)
        return spool_error(err);
    char *name = malloc(row.name_length + 1);
    if (!name)
        return no_memory(err);
    name[row.name_length] = '\0';
    mohvit_status status = MOHVIT_OK;
    if (fread(name, 1, row.name_length, s->file) != row.name_length ||
        fread(vector, sizeof *vector, f->width, s->file) != f->width)
        status = spool_error(err);
    if (!status)
        status = vector_file_add(f, vector, (int64_t)row.index, -1, name, err);
    free(name);
    return status;
}

mohvit_status vector_spool_write(vector_spool *s, const char *path, const char *tensor,
                                 const json_t *provenance, mohvit_error *err)
{
    vector_file f;
    float *vector = memory_alloc(s->shape.width, sizeof *vector);
    if (!vector)
        return no_memory(err);
    mohvit_status status = vector_file_begin(&f, path, tensor, &s->shape, provenance, err);
    if (!status && fseeko(s->file, 0, SEEK_SET)) // writes what still waits
        status = spool_error(err);
    for (size_t i = 0; !status && i < s->shape.rows; i++)
        status = copy_row(s, &f, vector, err);
    free(vector);
    return vector_file_finish(&f, status, err);
}

void vector_spool_close(vector_spool *s)
{
    if (s->file)
        fclose(s->file);
    s->file = NULL;
}
