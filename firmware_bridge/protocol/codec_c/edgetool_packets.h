/* Packets of the edgetool protocol (PROTOCOL.md sections 4 to 9) for nodes: what goes into a frame's payload.
 *
 * Writers put fields into the caller's buffer and remember if it was too small: look at failed once, at the end. Readers check every
 * field against PROTOCOL.md. Texts are UTF-8, not terminated by zero. */
#ifndef EDGETOOL_PACKETS_H
#define EDGETOOL_PACKETS_H

#include "edgetool_frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Puts fields one after the other. */
typedef struct {
    uint8_t *buffer;
    size_t capacity;
    size_t size; /* bytes written so far */
    uint8_t failed;
} etf_writer;

void etf_writer_begin(etf_writer *writer, uint8_t *buffer, size_t capacity);
void etf_put_bytes(etf_writer *writer, const void *bytes, size_t size);
void etf_put_u8(etf_writer *writer, uint8_t value);
void etf_put_u16(etf_writer *writer, uint16_t value);
void etf_put_u24(etf_writer *writer, uint32_t value); /* the low 24 bits: also an int24 as two's complement */
void etf_put_u32(etf_writer *writer, uint32_t value);
void etf_put_u64(etf_writer *writer, uint64_t value);
void etf_put_f32(etf_writer *writer, float value);
void etf_put_text(etf_writer *writer, const char *text); /* fails over 63 bytes */

/* Takes fields one after the other; failed when the bytes end too early, and then all values are 0. */
typedef struct {
    const uint8_t *bytes;
    size_t size;
    size_t at;
    uint8_t failed;
} etf_reader;

void etf_reader_begin(etf_reader *reader, const uint8_t *bytes, size_t size);
const uint8_t *etf_get_bytes(etf_reader *reader, size_t size); /* NULL if there are not as many */
uint8_t etf_get_u8(etf_reader *reader);
uint16_t etf_get_u16(etf_reader *reader);
uint32_t etf_get_u32(etf_reader *reader);
uint64_t etf_get_u64(etf_reader *reader);
float etf_get_f32(etf_reader *reader);

/* A text in a payload. */
typedef struct {
    const uint8_t *bytes;
    size_t size;
} etf_text;

etf_text etf_get_text(etf_reader *reader); /* fails over 63 bytes */

/* Section 4. Write the head, then every stream, each followed by its channels. */
typedef struct {
    uint8_t contract_hash[ETF_CONTRACT_PREFIX_BYTES];
    uint8_t streams;
    etf_text name;
    etf_text hardware;
} etf_descriptor;

typedef struct {
    uint8_t stream;
    uint8_t format; /* ETF_FORMAT_... */
    uint8_t channels;
    float rate_hz;
    etf_text name;
} etf_stream;

typedef struct {
    uint8_t unit; /* ETF_UNIT_... */
    float scale;
    float full_scale; /* 0: not known */
    etf_text name;
} etf_channel;

etf_text etf_text_of(const char *text); /* of a string that ends with zero */
void etf_put_descriptor(etf_writer *writer, const etf_descriptor *descriptor);
void etf_put_stream(etf_writer *writer, const etf_stream *stream);
void etf_put_channel(etf_writer *writer, const etf_channel *channel);
etf_status etf_get_descriptor(etf_reader *reader, etf_descriptor *descriptor);
etf_status etf_get_stream(etf_reader *reader, etf_stream *stream);
etf_status etf_get_channel(etf_reader *reader, etf_channel *channel);
/* Whether a whole descriptor payload can be read to its last byte. */
etf_status etf_check_descriptor(const uint8_t *payload, size_t size);

/* Section 5. Write the head, then samples x channels values. */
typedef struct {
    uint8_t stream;
    uint8_t format; /* ETF_FORMAT_... */
    uint8_t channels;
    uint8_t samples;
    uint32_t first;
} etf_data;

/* Bytes of a value of an ETF_FORMAT_..., 0 if there is no such format. */
size_t etf_value_size(uint8_t format);
void etf_put_data(etf_writer *writer, const etf_data *data);
/* Reads the head and checks the length; *values is where the values begin. */
etf_status etf_read_data(const uint8_t *payload, size_t size, etf_data *data, const uint8_t **values);
/* The value at place of an integer format. */
int32_t etf_integer(uint8_t format, const uint8_t *values, size_t place);

/* Section 6. */
typedef struct {
    uint64_t token;
    uint32_t received_us;
} etf_sync_reply;

etf_status etf_read_sync_request(const uint8_t *payload, size_t size, uint64_t *token);
void etf_put_sync_reply(etf_writer *writer, const etf_sync_reply *reply);
etf_status etf_read_sync_reply(const uint8_t *payload, size_t size, etf_sync_reply *reply);

/* Section 7. The packet's name is STATUS; etf_status is this library's result. */
typedef struct {
    uint8_t battery_percent; /* ETF_BATTERY_UNKNOWN */
    uint8_t flags;           /* ETF_STATUS_FLAG_... */
    uint16_t battery_mv;
    uint32_t samples_dropped;
    uint32_t frames_received;
    uint32_t frames_rejected;
    uint8_t firmware_major;
    uint8_t firmware_minor;
    uint16_t firmware_patch;
} etf_node_status;

void etf_put_status(etf_writer *writer, const etf_node_status *status);
etf_status etf_read_status(const uint8_t *payload, size_t size, etf_node_status *status);

/* Section 8: ETF_COMMAND_... */
etf_status etf_read_command(const uint8_t *payload, size_t size, uint8_t *command);

/* Section 9. A reader passes on what only the application can judge (operation, format, length of the body). */
typedef struct {
    uint8_t operation; /* ETF_OPERATION_... or anything else: answer ETF_ERROR_UNKNOWN_OPERATION */
    uint8_t format;    /* ETF_VALUE_... or anything else: answer ETF_ERROR_BAD_FORMAT */
    uint8_t model[ETF_MODEL_PREFIX_BYTES];
    const uint8_t *body;
    size_t body_size;
} etf_request;

typedef struct {
    uint8_t operation;
    uint8_t error;  /* ETF_ERROR_...; if not ETF_ERROR_NONE, write no body */
    uint8_t format; /* ETF_VALUE_... */
    uint8_t request_boot;
    uint32_t request_sequence;
    uint32_t count;
} etf_reply;

typedef struct {
    uint32_t clock_hz;
    uint8_t counter;   /* ETF_COUNTER_... */
    uint8_t graphs;    /* ETF_GRAPH_... */
    uint8_t self_test; /* ETF_SELF_TEST_... */
    uint8_t formats;   /* ETF_FORMAT_BIT_... */
    float counter_step;
    uint16_t window;
    uint16_t max_frame;
    uint32_t max_message;
    uint8_t streams;
    uint8_t outputs;
    uint8_t output_format; /* ETF_VALUE_... */
    uint8_t contract_hash[ETF_HASH_BYTES];
    uint8_t model_hash[ETF_HASH_BYTES];
    uint8_t channels[ETF_MAX_STREAMS];
    etf_text board;
    etf_text core;
    etf_text build;
} etf_identity;

typedef struct {
    uint16_t index;
    uint32_t offset;
    uint32_t length; /* 1 to 480 */
} etf_tensor_request;

etf_status etf_read_request(const uint8_t *payload, size_t size, etf_request *request);
etf_status etf_read_tensor_request(const uint8_t *body, size_t size, etf_tensor_request *request);
void etf_put_reply(etf_writer *writer, const etf_reply *reply);
void etf_put_identity(etf_writer *writer, const etf_identity *identity);
void etf_put_self_test(etf_writer *writer, uint16_t run, uint16_t failed, uint32_t first_failed);
void etf_put_stack(etf_writer *writer, uint32_t size, uint32_t high_water);
etf_status etf_read_reply(const uint8_t *payload, size_t size, etf_reply *reply, const uint8_t **body, size_t *body_size);
etf_status etf_read_identity(const uint8_t *body, size_t size, etf_identity *identity);

#ifdef __cplusplus
}
#endif

#endif
