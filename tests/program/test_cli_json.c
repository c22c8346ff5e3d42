/* test_cli_json.c - for test_cli.sh: checks that every line of standard input is JSON, and prints of each the
 * value at a path of keys and indices: `… | test_cli_json top 0 label`. "missing" where there is none. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const json_t *descend(const json_t *value, char **path, int depth)
{
    for (int i = 0; value && i < depth; i++)
        value = json_is_array(value) ? json_array_get(value, (size_t)atol(path[i]))
                                     : json_object_get(value, path[i]);
    return value;
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    while ((length = getline(&line, &capacity, stdin)) > 0) {
        json_error_t why;
        json_t *root = json_loadb(line, (size_t)length, JSON_REJECT_DUPLICATES, &why);
        if (!root || line[length - 1] != '\n') {
            fprintf(stderr, "not a line of JSON: %s: %s\n", root ? "no newline" : why.text, line);
            return 1;
        }
        const json_t *value = descend(root, argv + 1, argc - 1);
        if (json_is_string(value)) {
            puts(json_string_value(value));
        } else if (value) {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
            puts(text);
            free(text);
        } else {
            puts("missing");
        }
        json_decref(root);
    }
    free(line);
    return 0;
}
