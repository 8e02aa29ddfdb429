#include "edgetool_packets.h"

#include <float.h>
#include <string.h>

#define ETF_ASSERT(name, condition) typedef char etf_assert_##name[(condition) ? 1 : -1]

/* The sizes that PROTOCOL.md gives are the sums of the fields that are written below. */
ETF_ASSERT(float_is_single, sizeof(float) == 4u);
ETF_ASSERT(descriptor, ETF_DESCRIPTOR_FIXED_BYTES == ETF_CONTRACT_PREFIX_BYTES + 1u + 3u);
ETF_ASSERT(data, ETF_DATA_HEADER_BYTES == 4u * 1u + 4u);
ETF_ASSERT(sync_reply, ETF_SYNC_REPLY_BYTES == ETF_SYNC_REQUEST_BYTES + 4u);
ETF_ASSERT(status, ETF_STATUS_BYTES == 2u * 1u + 2u + 3u * 4u + 2u * 1u + 2u);
ETF_ASSERT(command, ETF_COMMAND_BYTES == 1u + 3u);
ETF_ASSERT(request, ETF_REQUEST_HEADER_BYTES == 2u * 1u + 2u + ETF_MODEL_PREFIX_BYTES);
ETF_ASSERT(reply, ETF_REPLY_HEADER_BYTES == 4u * 1u + 2u * 4u);
ETF_ASSERT(identify, ETF_IDENTIFY_FIXED_BYTES == 4u + 4u * 1u + 4u + 2u * 2u + 4u + 4u * 1u + 2u * ETF_HASH_BYTES);
ETF_ASSERT(tensor, ETF_MAX_TENSOR_BYTES + ETF_REPLY_HEADER_BYTES <= ETF_MAX_PAYLOAD_BYTES);

void etf_writer_begin(etf_writer *writer, uint8_t *buffer, size_t capacity) {
    writer->buffer = buffer;
    writer->capacity = capacity;
    writer->size = 0;
    writer->failed = 0;
}

void etf_put_bytes(etf_writer *writer, const void *bytes, size_t size) {
    if (size > writer->capacity - writer->size) {
        writer->failed = 1;
    } else if (size > 0) {
        memcpy(writer->buffer + writer->size, bytes, size);
        writer->size += size;
    }
}

static void put_little(etf_writer *writer, uint64_t value, size_t size) {
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8u * i));
    }
    etf_put_bytes(writer, bytes, size);
}

void etf_put_u8(etf_writer *writer, uint8_t value) { put_little(writer, value, 1); }
void etf_put_u16(etf_writer *writer, uint16_t value) { put_little(writer, value, 2); }
void etf_put_u24(etf_writer *writer, uint32_t value) { put_little(writer, value, 3); }
void etf_put_u32(etf_writer *writer, uint32_t value) { put_little(writer, value, 4); }
void etf_put_u64(etf_writer *writer, uint64_t value) { put_little(writer, value, 8); }

void etf_put_f32(etf_writer *writer, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    etf_put_u32(writer, bits);
}

etf_text etf_text_of(const char *text) {
    const etf_text result = {(const uint8_t *)text, strlen(text)};
    return result;
}

static void put_text(etf_writer *writer, etf_text text) {
    if (text.size > ETF_MAX_TEXT_BYTES) {
        writer->failed = 1;
        return;
    }
    etf_put_u8(writer, (uint8_t)text.size);
    etf_put_bytes(writer, text.bytes, text.size);
}

void etf_put_text(etf_writer *writer, const char *text) { put_text(writer, etf_text_of(text)); }

static void put_reserved(etf_writer *writer, size_t size) {
    put_little(writer, 0, size);
}

void etf_reader_begin(etf_reader *reader, const uint8_t *bytes, size_t size) {
    reader->bytes = bytes;
    reader->size = size;
    reader->at = 0;
    reader->failed = 0;
}

const uint8_t *etf_get_bytes(etf_reader *reader, size_t size) {
    if (reader->failed || size > reader->size - reader->at) {
        reader->failed = 1;
        return NULL;
    }
    const uint8_t *taken = reader->bytes + reader->at;
    reader->at += size;
    return taken;
}

static uint64_t get_little(etf_reader *reader, size_t size) {
    const uint8_t *bytes = etf_get_bytes(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; bytes != NULL && i < size; i++) {
        value |= (uint64_t)bytes[i] << (8u * i);
    }
    return value;
}

uint8_t etf_get_u8(etf_reader *reader) { return (uint8_t)get_little(reader, 1); }
uint16_t etf_get_u16(etf_reader *reader) { return (uint16_t)get_little(reader, 2); }
uint32_t etf_get_u32(etf_reader *reader) { return (uint32_t)get_little(reader, 4); }
uint64_t etf_get_u64(etf_reader *reader) { return get_little(reader, 8); }

float etf_get_f32(etf_reader *reader) {
    const uint32_t bits = etf_get_u32(reader);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

etf_text etf_get_text(etf_reader *reader) {
    etf_text text = {NULL, 0};
    const size_t size = etf_get_u8(reader);
    if (size > ETF_MAX_TEXT_BYTES) {
        reader->failed = 1;
        return text;
    }
    text.bytes = etf_get_bytes(reader, size);
    text.size = text.bytes == NULL ? 0 : size;
    return text;
}

static int finite(float value) {
    return value >= -FLT_MAX && value <= FLT_MAX;
}

static int between(unsigned value, unsigned low, unsigned high) {
    return value >= low && value <= high;
}

void etf_put_descriptor(etf_writer *writer, const etf_descriptor *descriptor) {
    etf_put_bytes(writer, descriptor->contract_hash, ETF_CONTRACT_PREFIX_BYTES);
    etf_put_u8(writer, descriptor->streams);
    put_reserved(writer, 3);
    put_text(writer, descriptor->name);
    put_text(writer, descriptor->hardware);
}

void etf_put_stream(etf_writer *writer, const etf_stream *stream) {
    etf_put_u8(writer, stream->stream);
    etf_put_u8(writer, stream->format);
    etf_put_u8(writer, stream->channels);
    put_reserved(writer, 1);
    etf_put_f32(writer, stream->rate_hz);
    put_text(writer, stream->name);
}

void etf_put_channel(etf_writer *writer, const etf_channel *channel) {
    etf_put_u8(writer, channel->unit);
    etf_put_f32(writer, channel->scale);
    etf_put_f32(writer, channel->full_scale);
    put_text(writer, channel->name);
}

static void get_copy(etf_reader *reader, uint8_t *to, size_t size) {
    const uint8_t *bytes = etf_get_bytes(reader, size);
    if (bytes != NULL) {
        memcpy(to, bytes, size);
    }
}

etf_status etf_get_descriptor(etf_reader *reader, etf_descriptor *descriptor) {
    get_copy(reader, descriptor->contract_hash, ETF_CONTRACT_PREFIX_BYTES);
    descriptor->streams = etf_get_u8(reader);
    (void)etf_get_bytes(reader, 3);
    descriptor->name = etf_get_text(reader);
    descriptor->hardware = etf_get_text(reader);
    if (reader->failed) {
        return ETF_BAD_LENGTH;
    }
    return between(descriptor->streams, 1, ETF_MAX_STREAMS) && descriptor->name.size > 0 ? ETF_OK : ETF_BAD_VALUE;
}

etf_status etf_get_stream(etf_reader *reader, etf_stream *stream) {
    stream->stream = etf_get_u8(reader);
    stream->format = etf_get_u8(reader);
    stream->channels = etf_get_u8(reader);
    (void)etf_get_bytes(reader, 1);
    stream->rate_hz = etf_get_f32(reader);
    stream->name = etf_get_text(reader);
    if (reader->failed) {
        return ETF_BAD_LENGTH;
    }
    return etf_value_size(stream->format) != 0 && between(stream->channels, 1, ETF_MAX_CHANNELS) && finite(stream->rate_hz) &&
                   stream->rate_hz > 0.0f && stream->name.size > 0
               ? ETF_OK
               : ETF_BAD_VALUE;
}

etf_status etf_get_channel(etf_reader *reader, etf_channel *channel) {
    channel->unit = etf_get_u8(reader);
    channel->scale = etf_get_f32(reader);
    channel->full_scale = etf_get_f32(reader);
    channel->name = etf_get_text(reader);
    if (reader->failed) {
        return ETF_BAD_LENGTH;
    }
    return between(channel->unit, 1, ETF_UNIT_DEG_PER_S) && finite(channel->scale) && finite(channel->full_scale) &&
                   (channel->scale > 0.0f || channel->scale < 0.0f) && channel->full_scale >= 0.0f && channel->name.size > 0
               ? ETF_OK
               : ETF_BAD_VALUE;
}

etf_status etf_check_descriptor(const uint8_t *payload, size_t size) {
    etf_reader reader;
    etf_descriptor descriptor;
    etf_reader_begin(&reader, payload, size);
    etf_status status = etf_get_descriptor(&reader, &descriptor);
    for (unsigned s = 0; status == ETF_OK && s < descriptor.streams; s++) {
        etf_stream stream;
        status = etf_get_stream(&reader, &stream);
        for (unsigned c = 0; status == ETF_OK && c < stream.channels; c++) {
            etf_channel channel;
            status = etf_get_channel(&reader, &channel);
        }
    }
    if (status == ETF_OK && reader.at != reader.size) {
        return ETF_BAD_LENGTH;
    }
    return status;
}

size_t etf_value_size(uint8_t format) {
    switch (format) {
        case ETF_FORMAT_INT16:
            return 2;
        case ETF_FORMAT_INT24:
            return 3;
        case ETF_FORMAT_FLOAT32:
            return 4;
        default:
            return 0;
    }
}

void etf_put_data(etf_writer *writer, const etf_data *data) {
    etf_put_u8(writer, data->stream);
    etf_put_u8(writer, data->format);
    etf_put_u8(writer, data->channels);
    etf_put_u8(writer, data->samples);
    etf_put_u32(writer, data->first);
}

etf_status etf_read_data(const uint8_t *payload, size_t size, etf_data *data, const uint8_t **values) {
    etf_reader reader;
    etf_reader_begin(&reader, payload, size);
    data->stream = etf_get_u8(&reader);
    data->format = etf_get_u8(&reader);
    data->channels = etf_get_u8(&reader);
    data->samples = etf_get_u8(&reader);
    data->first = etf_get_u32(&reader);
    const size_t value_size = etf_value_size(data->format);
    const size_t count = (size_t)data->channels * data->samples;
    if (reader.failed || reader.size - reader.at != count * value_size) {
        return ETF_BAD_LENGTH;
    }
    if (value_size == 0 || data->samples == 0 || !between(data->channels, 1, ETF_MAX_CHANNELS)) {
        return ETF_BAD_VALUE;
    }
    *values = payload + reader.at;
    for (size_t i = 0; data->format == ETF_FORMAT_FLOAT32 && i < count; i++) {
        if (!finite(etf_get_f32(&reader))) {
            return ETF_BAD_VALUE;
        }
    }
    return ETF_OK;
}

int32_t etf_integer(uint8_t format, const uint8_t *values, size_t place) {
    const size_t size = etf_value_size(format);
    const uint8_t *at = values + place * size;
    if (format == ETF_FORMAT_INT16) {
        const int32_t value = (int32_t)((uint32_t)at[0] | (uint32_t)at[1] << 8);
        return value < 0x8000 ? value : value - 0x10000;
    }
    const int32_t value = (int32_t)((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16);
    return value < 0x800000 ? value : value - 0x1000000;
}

etf_status etf_read_sync_request(const uint8_t *payload, size_t size, uint64_t *token) {
    etf_reader reader;
    etf_reader_begin(&reader, payload, size);
    *token = etf_get_u64(&reader);
    return size == ETF_SYNC_REQUEST_BYTES ? ETF_OK : ETF_BAD_LENGTH;
}

void etf_put_sync_reply(etf_writer *writer, const etf_sync_reply *reply) {
    etf_put_u64(writer, reply->token);
    etf_put_u32(writer, reply->received_us);
}

etf_status etf_read_sync_reply(const uint8_t *payload, size_t size, etf_sync_reply *reply) {
    etf_reader reader;
    etf_reader_begin(&reader, payload, size);
    reply->token = etf_get_u64(&reader);
    reply->received_us = etf_get_u32(&reader);
    return size == ETF_SYNC_REPLY_BYTES ? ETF_OK : ETF_BAD_LENGTH;
}

void etf_put_status(etf_writer *writer, const etf_node_status *status) {
    etf_put_u8(writer, status->battery_percent);
    etf_put_u8(writer, status->flags);
    etf_put_u16(writer, status->battery_mv);
    etf_put_u32(writer, status->samples_dropped);
    etf_put_u32(writer, status->frames_received);
    etf_put_u32(writer, status->frames_rejected);
    etf_put_u8(writer, status->firmware_major);
    etf_put_u8(writer, status->firmware_minor);
    etf_put_u16(writer, status->firmware_patch);
}

etf_status etf_read_status(const uint8_t *payload, size_t size, etf_node_status *status) {
    etf_reader reader;
    etf_reader_begin(&reader, payload, size);
    status->battery_percent = etf_get_u8(&reader);
    status->flags = etf_get_u8(&reader);
    status->battery_mv = etf_get_u16(&reader);
    status->samples_dropped = etf_get_u32(&reader);
    status->frames_received = etf_get_u32(&reader);
    status->frames_rejected = etf_get_u32(&reader);
    status->firmware_major = etf_get_u8(&reader);
    status->firmware_minor = etf_get_u8(&reader);
    status->firmware_patch = etf_get_u16(&reader);
    if (size != ETF_STATUS_BYTES) {
        return ETF_BAD_LENGTH;
    }
    return status->battery_percent <= 100u || status->battery_percent == ETF_BATTERY_UNKNOWN ? ETF_OK : ETF_BAD_VALUE;
}

etf_status etf_read_command(const uint8_t *payload, size_t size, uint8_t *command) {
    if (size != ETF_COMMAND_BYTES) {
        return ETF_BAD_LENGTH;
    }
    *command = payload[0];
    return between(*command, ETF_COMMAND_DESCRIBE, ETF_COMMAND_REPORT) ? ETF_OK : ETF_BAD_VALUE;
}

etf_status etf_read_request(const uint8_t *payload, size_t size, etf_request *request) {
    etf_reader reader;
    etf_reader_begin(&reader, payload, size);
    request->operation = etf_get_u8(&reader);
    request->format = etf_get_u8(&reader);
    (void)etf_get_u16(&reader);
    get_copy(&reader, request->model, ETF_MODEL_PREFIX_BYTES);
    if (reader.failed) {
        return ETF_BAD_LENGTH;
    }
    request->body = payload + reader.at;
    request->body_size = size - reader.at;
    return ETF_OK;
}

etf_status etf_read_tensor_request(const uint8_t *body, size_t size, etf_tensor_request *request) {
    etf_reader reader;
    etf_reader_begin(&reader, body, size);
    request->index = etf_get_u16(&reader);
    (void)etf_get_u16(&reader);
    request->offset = etf_get_u32(&reader);
    request->length = etf_get_u32(&reader);
    if (reader.failed || reader.at != size) {
        return ETF_BAD_LENGTH;
    }
    return request->length >= 1u && request->length <= ETF_MAX_TENSOR_BYTES ? ETF_OK : ETF_BAD_VALUE;
}

void etf_put_reply(etf_writer *writer, const etf_reply *reply) {
    etf_put_u8(writer, reply->operation);
    etf_put_u8(writer, reply->error);
    etf_put_u8(writer, reply->format);
    etf_put_u8(writer, reply->request_boot);
    etf_put_u32(writer, reply->request_sequence);
    etf_put_u32(writer, reply->count);
}

etf_status etf_read_reply(const uint8_t *payload, size_t size, etf_reply *reply, const uint8_t **body, size_t *body_size) {
    etf_reader reader;
    etf_reader_begin(&reader, payload, size);
    reply->operation = etf_get_u8(&reader);
    reply->error = etf_get_u8(&reader);
    reply->format = etf_get_u8(&reader);
    reply->request_boot = etf_get_u8(&reader);
    reply->request_sequence = etf_get_u32(&reader);
    reply->count = etf_get_u32(&reader);
    if (reader.failed) {
        return ETF_BAD_LENGTH;
    }
    *body = payload + reader.at;
    *body_size = size - reader.at;
    return between(reply->operation, ETF_OPERATION_IDENTIFY, ETF_OPERATION_TENSOR) && reply->error <= ETF_ERROR_INTERNAL &&
                   reply->format <= ETF_VALUE_FLOAT32 && (reply->error == ETF_ERROR_NONE || *body_size == 0)
               ? ETF_OK
               : ETF_BAD_VALUE;
}

void etf_put_identity(etf_writer *writer, const etf_identity *identity) {
    etf_put_u32(writer, identity->clock_hz);
    etf_put_u8(writer, identity->counter);
    etf_put_u8(writer, identity->graphs);
    etf_put_u8(writer, identity->self_test);
    etf_put_u8(writer, identity->formats);
    etf_put_f32(writer, identity->counter_step);
    etf_put_u16(writer, identity->window);
    etf_put_u16(writer, identity->max_frame);
    etf_put_u32(writer, identity->max_message);
    etf_put_u8(writer, identity->streams);
    etf_put_u8(writer, identity->outputs);
    etf_put_u8(writer, identity->output_format);
    put_reserved(writer, 1);
    etf_put_bytes(writer, identity->contract_hash, ETF_HASH_BYTES);
    etf_put_bytes(writer, identity->model_hash, ETF_HASH_BYTES);
    if (identity->streams > ETF_MAX_STREAMS) {
        writer->failed = 1;
        return;
    }
    etf_put_bytes(writer, identity->channels, identity->streams);
    put_text(writer, identity->board);
    put_text(writer, identity->core);
    put_text(writer, identity->build);
}

static int identity_is_valid(const etf_identity *identity) {
    return identity->counter <= ETF_COUNTER_INSTRUCTIONS && identity->graphs <= (ETF_GRAPH_WINDOW | ETF_GRAPH_STEP) &&
           identity->self_test <= ETF_SELF_TEST_FAILED && identity->formats <= 7u && finite(identity->counter_step) &&
           identity->counter_step >= 0.0f && between(identity->max_frame, ETF_MIN_FRAME_BYTES, ETF_MAX_FRAME_BYTES) &&
           identity->max_message > 0 && between(identity->outputs, 1, ETF_MAX_OUTPUTS) &&
           identity->output_format <= ETF_VALUE_FLOAT32;
}

etf_status etf_read_identity(const uint8_t *body, size_t size, etf_identity *identity) {
    etf_reader reader;
    etf_reader_begin(&reader, body, size);
    identity->clock_hz = etf_get_u32(&reader);
    identity->counter = etf_get_u8(&reader);
    identity->graphs = etf_get_u8(&reader);
    identity->self_test = etf_get_u8(&reader);
    identity->formats = etf_get_u8(&reader);
    identity->counter_step = etf_get_f32(&reader);
    identity->window = etf_get_u16(&reader);
    identity->max_frame = etf_get_u16(&reader);
    identity->max_message = etf_get_u32(&reader);
    identity->streams = etf_get_u8(&reader);
    identity->outputs = etf_get_u8(&reader);
    identity->output_format = etf_get_u8(&reader);
    (void)etf_get_u8(&reader);
    get_copy(&reader, identity->contract_hash, ETF_HASH_BYTES);
    get_copy(&reader, identity->model_hash, ETF_HASH_BYTES);
    if (reader.failed) {
        return ETF_BAD_LENGTH;
    }
    if (!between(identity->streams, 1, ETF_MAX_STREAMS)) {
        return ETF_BAD_VALUE;
    }
    memset(identity->channels, 0, sizeof identity->channels);
    get_copy(&reader, identity->channels, identity->streams);
    identity->board = etf_get_text(&reader);
    identity->core = etf_get_text(&reader);
    identity->build = etf_get_text(&reader);
    if (reader.failed || reader.at != size) {
        return ETF_BAD_LENGTH;
    }
    for (unsigned i = 0; i < identity->streams; i++) {
        if (identity->channels[i] == 0) {
            return ETF_BAD_VALUE;
        }
    }
    return identity_is_valid(identity) ? ETF_OK : ETF_BAD_VALUE;
}

void etf_put_self_test(etf_writer *writer, uint16_t run, uint16_t failed, uint32_t first_failed) {
    etf_put_u16(writer, run);
    etf_put_u16(writer, failed);
    etf_put_u32(writer, first_failed);
}

void etf_put_stack(etf_writer *writer, uint32_t size, uint32_t high_water) {
    etf_put_u32(writer, size);
    etf_put_u32(writer, high_water);
}
