#include "tools/program/vector_file.h"

#include "base/file_io.h"
#include "base/memory.h"
#include "eval/head_load_record.h"
#include "eval/header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of vectors that are written in one go. */
#define WRITE_BYTES ((size_t)256 << 10)

/* In the order of the file: numbers of 8 bytes first, so that all lie at multiples of their size. Names come
 * last; those behind the vectors are of heads alone. */
enum {
    COLUMN_INDEX,
    COLUMN_CLASS,
    COLUMN_OFFSETS,
    COLUMN_VECTORS,
    COLUMN_HASH,
    COLUMN_TOKENS,
    COLUMN_ACTIVE
};

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for rows of features or logits");
}

/* ---- The file -------------------------------------------------------------------------------- */

static bool of_heads(const vector_record *v)
{
    return v->kind == VECTOR_HEADS;
}

/* The last column. */
static size_t names_at(const vector_record *v)
{
    return of_heads(v) ? COLUMN_ACTIVE + 1 : COLUMN_VECTORS + 1;
}

static void list_tensors(tensor_info *tensors, const vector_shape *s)
{
    const vector_record *v = &s->row;
    size_t rows = s->rows, elements = size_product(rows, v->width);
    tensors[COLUMN_INDEX] = (tensor_info){"index", DTYPE_I64, 1, {rows}, rows};
    tensors[COLUMN_CLASS] = (tensor_info){"class", DTYPE_I64, 1, {rows}, rows};
    tensors[COLUMN_OFFSETS] = (tensor_info){"name_offsets", DTYPE_I64, 1, {rows + 1}, rows + 1};
    if (of_heads(v)) {
        size_t blocks = v->routing->count, heads = v->routing->max_heads;
        tensors[COLUMN_VECTORS] = (tensor_info){"gate", DTYPE_I64, 3, {rows, blocks, heads}, elements};
        tensors[COLUMN_HASH] = (tensor_info){"xxh64", DTYPE_I64, 1, {rows}, rows};
        tensors[COLUMN_TOKENS] = (tensor_info){"tokens", DTYPE_I64, 1, {blocks}, blocks};
        tensors[COLUMN_ACTIVE] = (tensor_info){"active", DTYPE_I32, 3, {rows, blocks, heads}, elements};
    } else {
        tensors[COLUMN_VECTORS] =
            (tensor_info){vector_kind_name(v->kind), DTYPE_F32, 2, {rows, v->width}, elements};
    }
    tensors[names_at(v)] = (tensor_info){"names", DTYPE_U8, 1, {s->name_bytes}, s->name_bytes};
}

mohvit_status vector_file_begin(vector_file *f, const char *path, const vector_shape *s,
                                const json_t *provenance, mohvit_error *err)
{
    *f = (vector_file){.row = s->row};
    tensor_info tensors[VECTOR_MAX_COLUMNS];
    char *text = json_dumps(provenance, JSON_COMPACT);
    char *routing = json_dumps(json_object_get(s->header, "routing"), JSON_COMPACT);
    char *classes = json_dumps(json_object_get(s->header, "classes"), JSON_COMPACT);
    bool predicted = s->header && header_has_section(s->header, HEAD_LOAD_SECTION_PREDICTED);
    const metadata_entry metadata[] = {
        {vector_kind_name(s->row.kind), "1"},
        {"provenance", text},
        {"routing", routing}, // from here on of heads alone
        {"class_names", classes},
        {"counted_by", predicted ? "label, else prediction" : "label"},
    };
    list_tensors(tensors, s);
    mohvit_status status = text && (!of_heads(&s->row) || (routing && classes))
                               ? safetensors_writer_create(&f->writer, path, tensors, names_at(&s->row) + 1,
                                                           metadata, of_heads(&s->row) ? 5 : 2, err)
                               : no_memory(err);
    free(text);
    free(routing);
    free(classes);
    bytes_put_u64(&f->columns[COLUMN_OFFSETS], 0);
    for (size_t i = 0; of_heads(&s->row) && i < s->row.routing->count; i++)
        bytes_put_u64(&f->columns[COLUMN_TOKENS], s->row.routing->blocks[i].tokens);
    return status;
}

static mohvit_status flush(vector_file *f, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i <= names_at(&f->row); i++) {
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
    size_t width = f->row.width;
    if (of_heads(&f->row)) {
        const uint8_t *gates = (const uint8_t *)vector + VECTOR_HEADS_START;
        bytes_put(&f->columns[COLUMN_HASH], vector, VECTOR_HEADS_START);
        bytes_put(&f->columns[COLUMN_VECTORS], gates, width * sizeof(int64_t));
        bytes_put(&f->columns[COLUMN_ACTIVE], gates + width * sizeof(int64_t), width * sizeof(int32_t));
    } else {
        bytes_put(&f->columns[COLUMN_VECTORS], vector, width * sizeof(float));
    }
    bytes_put(&f->columns[names_at(&f->row)], name, length);
    return f->columns[COLUMN_VECTORS].size < WRITE_BYTES ? MOHVIT_OK : flush(f, err);
}

mohvit_status vector_file_finish(vector_file *f, mohvit_status before, mohvit_error *err)
{
    mohvit_status status = before ? before : flush(f, err);
    for (size_t i = 0; i < VECTOR_MAX_COLUMNS; i++)
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
    *s = (vector_spool){.shape.row = {.kind = VECTOR_FEATURES, .width = width}};
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
                   fwrite(vector, vector_row_size(&s->shape.row), 1, s->file) == 1;
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
        fread(vector, vector_row_size(&f->row), 1, s->file) != 1)
        status = spool_error(err);
    if (!status)
        status = vector_file_add(f, vector, (int64_t)row.index, -1, name, err);
    free(name);
    return status;
}

mohvit_status vector_spool_write(vector_spool *s, const char *path, const json_t *provenance,
                                 mohvit_error *err)
{
    vector_file f;
    float *vector = malloc(vector_row_size(&s->shape.row));
    if (!vector)
        return no_memory(err);
    mohvit_status status = vector_file_begin(&f, path, &s->shape, provenance, err);
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
