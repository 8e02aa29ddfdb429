/* Requests and replies of PROTOCOL.md section 9.
 *
 * A request is carried out once: the host's life and number of the last one are kept with its reply, and when the same request comes
 * again (the host lost the reply) the reply is sent again and no state changes. */
#include "target_node.h"

#include <stdbool.h>
#include <string.h>

#include "edgetool_model.h"
#include "edgetool_packets.h"
#include "edgetool_self_test.h"
#include "port.h"

#ifndef FIRMWARE_BUILD
#define FIRMWARE_BUILD "build not named"
#endif

#define ROW_VALUES EDGETOOL_PER_ROW
#define WINDOW_VALUES (EDGETOOL_WINDOW * ROW_VALUES)
#define INPUT_BYTES ((uint32_t)EDGETOOL_VALUE_SIZE)
/* The largest message is a window: in float32 if the protocol has room for that, else in the model's own integers (a float32
 * window is then refused as too large; a step in float32 is always taken). */
#define WINDOW_MESSAGE(bytes) (ETF_REQUEST_HEADER_BYTES + (bytes) * (uint32_t)(WINDOW_VALUES))
#define TAKES_FLOAT_WINDOWS (WINDOW_MESSAGE(4u) <= ETF_MAX_MESSAGE_BYTES)
#define MESSAGE_BYTES (TAKES_FLOAT_WINDOWS ? WINDOW_MESSAGE(4u) : LEAST_MESSAGE_BYTES)
#define LEAST_MESSAGE_BYTES \
    (WINDOW_MESSAGE(INPUT_BYTES) > STEP_MESSAGE_BYTES ? WINDOW_MESSAGE(INPUT_BYTES) : STEP_MESSAGE_BYTES)
#define STEP_MESSAGE_BYTES (ETF_REQUEST_HEADER_BYTES + 4u * ROW_VALUES)
#define REPLY_BYTES 512u
#define NODE 0u /* the only one on its link */

typedef char inputs_share_one_type[(EDGETOOL_VALUE_SIZE != 0) ? 1 : -1];
typedef char inputs_fit_an_identity[(EDGETOOL_INPUTS <= ETF_MAX_STREAMS) ? 1 : -1];
typedef char message_fits_the_protocol[(MESSAGE_BYTES <= ETF_MAX_MESSAGE_BYTES) ? 1 : -1];
typedef char hash_is_a_sha256[(sizeof EDGETOOL_MODEL_HASH == 2u * ETF_HASH_BYTES + 1u) ? 1 : -1];
typedef char outputs_fit_a_reply[(ETF_REPLY_HEADER_BYTES + 4u * EDGETOOL_OUTPUTS <= REPLY_BYTES) ? 1 : -1];

#if EDGETOOL_VALUE_SIZE == 1
typedef int8_t input_value;
#define INPUT_FORMAT ETF_VALUE_INT8
#define INPUT_FORMAT_BIT ETF_FORMAT_BIT_INT8
#else
typedef int16_t input_value;
#define INPUT_FORMAT ETF_VALUE_INT16
#define INPUT_FORMAT_BIT ETF_FORMAT_BIT_INT16
#endif
#if EDGETOOL_OUTPUT_BITS == 8
typedef int8_t output_value;
#define OUTPUT_FORMAT ETF_VALUE_INT8
#else
typedef int16_t output_value;
#define OUTPUT_FORMAT ETF_VALUE_INT16
#endif

/* The whole request, aligned for the model: its header is 8 bytes, so that the values behind it are aligned too. */
static union {
    uint8_t bytes[MESSAGE_BYTES];
    float alignment;
} message;

static edgetool_state model;
static etf_receiver receiver;
static etf_joiner joiner;
static etf_sender sender;
static uint8_t self_test_result;
static uint8_t model_hash[ETF_HASH_BYTES];
static uint8_t contract_hash[ETF_HASH_BYTES];

/* The request carried out last, and its reply. */
static struct {
    bool any;
    uint8_t boot;
    uint32_t sequence;
    uint8_t payload[REPLY_BYTES];
    size_t size;
} last;

/* The message whose damage was reported last: its other parts are not reported again. */
static struct {
    bool any;
    uint8_t boot;
    uint32_t sequence;
} reported;

#ifdef EDGETOOL_PROBE
/* Every tensor of the last inference, as the model's source shows them, up to what fits. A debugging build. */
#ifndef PROBE_BYTES
#define PROBE_BYTES 65536u
#endif
#define PROBE_TENSORS 256u
static struct {
    uint32_t used;
    uint32_t count;
    struct {
        int32_t tensor;
        uint32_t begin;
        uint32_t bytes;
    } tensors[PROBE_TENSORS];
    uint8_t values[PROBE_BYTES];
} probed;

void edgetool_probe(int32_t tensor, const void *values, uint32_t bytes);

void edgetool_probe(int32_t tensor, const void *values, uint32_t bytes) {
    if (probed.count < PROBE_TENSORS && bytes <= PROBE_BYTES - probed.used) {
        probed.tensors[probed.count].tensor = tensor;
        probed.tensors[probed.count].begin = probed.used;
        probed.tensors[probed.count].bytes = bytes;
        memcpy(&probed.values[probed.used], values, bytes);
        probed.used += bytes;
        ++probed.count;
    }
}

static void probe_begin(void) {
    probed.used = 0;
    probed.count = 0;
}

/* The asked bytes of a tensor; the error says that it was not shown, or that it is not that long. */
static uint8_t probe_read(const etf_request *request, const uint8_t **values, size_t *size) {
    etf_tensor_request asked;
    if (etf_read_tensor_request(request->body, request->body_size, &asked) != ETF_OK) {
        return ETF_ERROR_BAD_LENGTH;
    }
    for (uint32_t place = 0; place < probed.count; ++place) {
        if (probed.tensors[place].tensor == (int32_t)asked.index) {
            const uint32_t bytes = probed.tensors[place].bytes;
            if (asked.offset > bytes || asked.length > bytes - asked.offset) {
                return ETF_ERROR_BAD_LENGTH;
            }
            *values = &probed.values[probed.tensors[place].begin + asked.offset];
            *size = asked.length;
            return ETF_ERROR_NONE;
        }
    }
    return ETF_ERROR_UNSUPPORTED;
}
#else
static void probe_begin(void) {
}

/* The model's memory is reused from op to op: without the probe no tensor outlives the inference. */
static uint8_t probe_read(const etf_request *request, const uint8_t **values, size_t *size) {
    (void)request;
    (void)values;
    (void)size;
    return ETF_ERROR_UNSUPPORTED;
}
#endif

static uint8_t nibble(char digit) {
    return (uint8_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

static void from_hex(const char *text, uint8_t *hash) {
    for (size_t place = 0; place < ETF_HASH_BYTES; ++place) {
        hash[place] = (uint8_t)((nibble(text[2u * place]) << 4) | nibble(text[2u * place + 1u]));
    }
}

static void write_frame(void *context, const uint8_t *wire, size_t size) {
    (void)context;
    port_write(wire, size);
}

static void send(const uint8_t *payload, size_t size) {
    (void)etf_send(&sender, ETF_TYPE_REPLY, port_time_us(), payload, size);
}

static void put_identity(etf_writer *writer) {
    const port_board *board = port_describe();
    etf_identity identity;
    memset(&identity, 0, sizeof identity);
    identity.clock_hz = board->clock_hz;
    identity.counter = board->counter;
    identity.counter_step = board->counter_step;
    identity.graphs = (uint8_t)(ETF_GRAPH_WINDOW | (EDGETOOL_HAS_STREAM ? ETF_GRAPH_STEP : 0u));
    identity.self_test = self_test_result;
    identity.formats = (uint8_t)(INPUT_FORMAT_BIT | ETF_FORMAT_BIT_FLOAT32);
    identity.window = EDGETOOL_WINDOW;
    identity.max_frame = ETF_MAX_FRAME_BYTES;
    identity.max_message = MESSAGE_BYTES;
    static const uint8_t widths[EDGETOOL_INPUTS] = EDGETOOL_WIDTHS;
    identity.streams = EDGETOOL_INPUTS;
    for (size_t place = 0; place < EDGETOOL_INPUTS; ++place) {
        identity.channels[place] = widths[place];
    }
    identity.outputs = EDGETOOL_OUTPUTS;
    identity.output_format = OUTPUT_FORMAT;
    memcpy(identity.contract_hash, contract_hash, ETF_HASH_BYTES);
    memcpy(identity.model_hash, model_hash, ETF_HASH_BYTES);
    identity.board = etf_text_of(board->board);
    identity.core = etf_text_of(board->core);
    identity.build = etf_text_of(FIRMWARE_BUILD);
    etf_put_identity(writer, &identity);
}

/* Number of the first golden vector that fails, or -1; the model's stream is reset after it. */
static int32_t run_self_test(void) {
    const int result = edgetool_self_test(&model);
    edgetool_reset(&model);
    self_test_result = result == 0 ? ETF_SELF_TEST_PASSED : ETF_SELF_TEST_FAILED;
    return (int32_t)result - 1;
}

static void put_self_test(etf_writer *writer) {
    const int32_t failed = run_self_test();
    if (failed < 0) {
        etf_put_self_test(writer, EDGETOOL_SELF_TEST_VECTORS, 0, ETF_NO_FAILURE);
    } else { /* it stops at the first that differs */
        etf_put_self_test(writer, (uint16_t)(failed + 1), 1, (uint32_t)failed);
    }
}

static bool all_finite(const uint8_t *values, size_t count) {
    for (size_t place = 0; place < count; ++place) {
        uint32_t bits;
        memcpy(&bits, values + 4u * place, sizeof bits);
        if ((bits & 0x7F800000u) == 0x7F800000u) {
            return false;
        }
    }
    return true;
}

/* What is counted is the model alone, whenever bytes come. */
static uint32_t begin_count(void) {
    port_hold_bytes();
    return port_ticks();
}

static uint32_t end_count(uint32_t begun) {
    const uint32_t ticks = port_elapsed(begun, port_ticks());
    port_take_bytes();
    return ticks;
}

/* Runs the model on the values behind the request's header; the outputs go to *out. Ticks of the model alone. */
static uint32_t run_float(bool window, const float *values, float *out) {
    const uint32_t begun = begin_count();
    if (window) {
        edgetool_window(&model, EDGETOOL_SPLIT(values, EDGETOOL_WINDOW), out);
    } else {
#if EDGETOOL_HAS_STREAM
        edgetool_step(&model, EDGETOOL_SPLIT(values, 1), out);
#endif
    }
    return end_count(begun);
}

static uint32_t run_quantized(bool window, const input_value *values, output_value *out) {
    const uint32_t begun = begin_count();
    if (window) {
        edgetool_window_quantized(&model, EDGETOOL_SPLIT(values, EDGETOOL_WINDOW), out);
    } else {
#if EDGETOOL_HAS_STREAM
        edgetool_step_quantized(&model, EDGETOOL_SPLIT(values, 1), out);
#endif
    }
    return end_count(begun);
}

static uint8_t infer(bool window, const etf_request *request, etf_reply *reply, uint8_t *outputs, size_t *size) {
    const size_t count = window ? WINDOW_VALUES : ROW_VALUES;
    if (!window && !EDGETOOL_HAS_STREAM) {
        return ETF_ERROR_UNSUPPORTED;
    }
    if (request->format != INPUT_FORMAT && request->format != ETF_VALUE_FLOAT32) {
        return ETF_ERROR_BAD_FORMAT;
    }
    if (window && request->format == ETF_VALUE_FLOAT32 && !TAKES_FLOAT_WINDOWS) {
        return ETF_ERROR_TOO_LARGE;
    }
    if (request->body_size != count * (request->format == ETF_VALUE_FLOAT32 ? 4u : (size_t)INPUT_BYTES)) {
        return ETF_ERROR_BAD_LENGTH;
    }
    const void *values = message.bytes + ETF_REQUEST_HEADER_BYTES;
    probe_begin();
    if (request->format == ETF_VALUE_FLOAT32) {
        float moments[EDGETOOL_OUTPUTS];
        if (!all_finite(values, count)) {
            return ETF_ERROR_NOT_FINITE;
        }
        reply->count = run_float(window, values, moments);
        reply->format = ETF_VALUE_FLOAT32;
        *size = sizeof moments;
        memcpy(outputs, moments, sizeof moments);
    } else {
        output_value moments[EDGETOOL_OUTPUTS];
        reply->count = run_quantized(window, values, moments);
        reply->format = OUTPUT_FORMAT;
        *size = sizeof moments;
        memcpy(outputs, moments, sizeof moments);
    }
    if (window) {
        edgetool_reset(&model);
    }
    return ETF_ERROR_NONE;
}

static bool is_other_model(const uint8_t *prefix) {
    static const uint8_t any[ETF_MODEL_PREFIX_BYTES] = {0};
    return memcmp(prefix, any, sizeof any) != 0 && memcmp(prefix, model_hash, sizeof any) != 0;
}

/* Carries out what the request asks; returns the reply's error. Of an inference or a tensor *values are the bytes of the body. */
static uint8_t carry_out(const etf_request *request, etf_reply *reply, uint8_t *outputs, const uint8_t **values, size_t *size) {
    const bool infers = request->operation == ETF_OPERATION_STEP || request->operation == ETF_OPERATION_WINDOW;
    if (request->operation < ETF_OPERATION_IDENTIFY || request->operation > ETF_OPERATION_TENSOR) {
        return ETF_ERROR_UNKNOWN_OPERATION;
    }
    if (is_other_model(request->model)) {
        return ETF_ERROR_OTHER_MODEL;
    }
    if (infers) {
        *values = outputs;
        return infer(request->operation == ETF_OPERATION_WINDOW, request, reply, outputs, size);
    }
    if (request->operation == ETF_OPERATION_TENSOR) {
        return probe_read(request, values, size);
    }
    if (request->format != ETF_VALUE_NONE) {
        return ETF_ERROR_BAD_FORMAT;
    }
    if (request->body_size != 0) {
        return ETF_ERROR_BAD_LENGTH;
    }
    if (request->operation == ETF_OPERATION_RESET) {
        const uint32_t begun = begin_count();
        edgetool_reset(&model);
        reply->count = end_count(begun);
    }
    return ETF_ERROR_NONE;
}

static void put_body(etf_writer *writer, uint8_t operation, const uint8_t *values, size_t values_size) {
    switch (operation) {
    case ETF_OPERATION_IDENTIFY:
        put_identity(writer);
        break;
    case ETF_OPERATION_SELF_TEST:
        put_self_test(writer);
        break;
    case ETF_OPERATION_STACK:
        etf_put_stack(writer, port_stack_size(), port_stack_high_water());
        break;
    default:
        etf_put_bytes(writer, values, values_size);
        break;
    }
}

static void answer(const etf_request *request, uint8_t boot, uint32_t sequence) {
    uint8_t outputs[4u * EDGETOOL_OUTPUTS];
    const uint8_t *values = outputs;
    size_t values_size = 0;
    etf_reply reply = {request->operation, ETF_ERROR_NONE, ETF_VALUE_NONE, boot, sequence, 0};
    etf_writer writer;
    reply.error = carry_out(request, &reply, outputs, &values, &values_size);
    last.any = true;
    last.boot = boot;
    last.sequence = sequence;
    etf_writer_begin(&writer, last.payload, sizeof last.payload);
    etf_put_reply(&writer, &reply);
    if (reply.error == ETF_ERROR_NONE) {
        put_body(&writer, request->operation, values, values_size);
    }
    last.size = writer.size;
    send(last.payload, last.size);
}

/* A request that could not be read; it does not count as carried out. Once a message, not once a part. */
static void refuse(uint8_t error, uint8_t operation, uint8_t boot, uint32_t sequence) {
    if (reported.any && reported.boot == boot && reported.sequence == sequence) {
        return;
    }
    reported.any = true;
    reported.boot = boot;
    reported.sequence = sequence;
    const etf_reply reply = {operation, error, ETF_VALUE_NONE, boot, sequence, 0};
    uint8_t payload[ETF_REPLY_HEADER_BYTES];
    etf_writer writer;
    etf_writer_begin(&writer, payload, sizeof payload);
    etf_put_reply(&writer, &reply);
    send(payload, writer.size);
}

static void take_message(const etf_frame *whole) {
    etf_request request;
    if (last.any && last.boot == whole->boot && last.sequence == whole->sequence) {
        send(last.payload, last.size);
        return;
    }
    if (whole->payload_size > sizeof message.bytes) {
        refuse(ETF_ERROR_TOO_LARGE, ETF_OPERATION_IDENTIFY, whole->boot, whole->sequence);
        return;
    }
    if (whole->payload != message.bytes) {
        memcpy(message.bytes, whole->payload, whole->payload_size);
    }
    if (etf_read_request(message.bytes, whole->payload_size, &request) != ETF_OK) {
        refuse(ETF_ERROR_BAD_LENGTH, ETF_OPERATION_IDENTIFY, whole->boot, whole->sequence);
        return;
    }
    answer(&request, whole->boot, whole->sequence);
}

void target_node_take(uint8_t byte) {
    etf_frame frame;
    etf_frame whole;
    if (etf_receive(&receiver, byte, &frame) != ETF_OK || frame.type != ETF_TYPE_REQUEST) {
        return; /* what is damaged has no sender to answer to: the host will ask again */
    }
    if (frame.node != NODE && frame.node != ETF_ANY_NODE) {
        return;
    }
    switch (etf_join(&joiner, &frame, &whole)) {
    case ETF_OK:
        reported.any = false; /* the same number damaged again is news */
        take_message(&whole);
        break;
    case ETF_MORE:
        if (frame.part == 0) {
            reported.any = false;
        }
        break;
    case ETF_TOO_LARGE:
        refuse(ETF_ERROR_TOO_LARGE, ETF_OPERATION_IDENTIFY, frame.boot, frame.sequence - frame.part);
        break;
    default:
        refuse(ETF_ERROR_BAD_FRAGMENT, ETF_OPERATION_IDENTIFY, frame.boot, frame.sequence - frame.part);
        break;
    }
}

void target_node_start(void) {
    etf_writer writer;
    const etf_reply reply = {ETF_OPERATION_IDENTIFY, ETF_ERROR_NONE, ETF_VALUE_NONE, 0, ETF_UNASKED_SEQUENCE, 0};
    from_hex(edgetool_model_hash, model_hash);
    from_hex(edgetool_contract_hash, contract_hash);
    etf_receiver_reset(&receiver);
    etf_joiner_reset(&joiner, message.bytes, sizeof message.bytes);
    sender.node = NODE;
    sender.boot = port_boot();
    sender.max_frame = ETF_MAX_FRAME_BYTES;
    sender.write = write_frame;
    (void)run_self_test();
    etf_writer_begin(&writer, last.payload, sizeof last.payload);
    etf_put_reply(&writer, &reply);
    put_identity(&writer);
    send(last.payload, writer.size);
}
