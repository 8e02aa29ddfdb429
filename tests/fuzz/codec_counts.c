/* Prints what the C decoder finds in files, one line each: for the comparison with the Python decoder. */
#include <stdio.h>
#include <stdlib.h>

#include "codec_walk.h"

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
            return 1;
        }
        const long size = ftell(file);
        rewind(file);
        uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1u);
        if (bytes == NULL || fread(bytes, 1, (size_t)size, file) != (size_t)size) {
            return 1;
        }
        const codec_counts counts = codec_walk(bytes, (size_t)size);
        printf("%lu %lu %lu %lu %lu %lu\n", counts.good, counts.damaged, counts.versions, counts.valid, counts.messages,
               (unsigned long)counts.sum);
        free(bytes);
        fclose(file);
    }
    return 0;
}
