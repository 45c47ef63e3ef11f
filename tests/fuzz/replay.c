/* replay.c -- gives files to a fuzz target, each in a block exactly as long; any compiler will do.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");

    if (!file || fseek(file, 0, SEEK_END) != 0)
        return -1;
    long size = ftell(file);
    rewind(file);
    uint8_t *data = malloc((size_t)size);
    size_t read = fread(data, 1, (size_t)size, file);
    fclose(file);
    if (read == (size_t)size)
        LLVMFuzzerTestOneInput(data, read);
    free(data);
    return read == (size_t)size ? 0 : -1;
}

int main(int count, char **paths)
{
    for (int i = 1; i < count; i++) {
        fprintf(stderr, "%s\n", paths[i]);
        if (replay(paths[i]) < 0)
            return 2;
    }
    return 0;
}
