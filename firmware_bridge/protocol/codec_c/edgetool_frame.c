#include "edgetool_frame.h"

#include <string.h>

/* Compile-time checks: an array of negative size does not compile. */
#define ETF_ASSERT(name, condition) typedef char etf_assert_##name[(condition) ? 1 : -1]

ETF_ASSERT(header, ETF_HEADER_BYTES == 4u * 1u + 2u * 4u);
ETF_ASSERT(body, ETF_MAX_PAYLOAD_BYTES + ETF_HEADER_BYTES + ETF_CRC_BYTES == ETF_MAX_BODY_BYTES);
ETF_ASSERT(frame, ETF_MAX_BODY_BYTES + ETF_MAX_BODY_BYTES / 254u + 2u <= ETF_MAX_FRAME_BYTES);
ETF_ASSERT(receiver, sizeof(etf_receiver) <= ETF_MAX_FRAME_BYTES + 12u);

uint16_t etf_crc16(uint16_t crc, const uint8_t *bytes, size_t size) {
    /* Eight shifts of x^16 + x^12 + x^5 + 1 at once, without a table. */
    for (size_t i = 0; i < size; i++) {
        uint32_t x = (uint32_t)(crc >> 8) ^ bytes[i];
        x ^= x >> 4;
        crc = (uint16_t)(((uint32_t)crc << 8) ^ (x << 12) ^ (x << 5) ^ x);
    }
    return crc;
}

size_t etf_room(size_t max_frame) {
    if (max_frame < ETF_MIN_FRAME_BYTES || max_frame > ETF_MAX_FRAME_BYTES) {
        return 0;
    }
    size_t body = max_frame - 2u;
    while (body + body / 254u + 2u > max_frame) {
        body--;
    }
    if (body > ETF_MAX_BODY_BYTES) {
        body = ETF_MAX_BODY_BYTES;
    }
    return body - ETF_HEADER_BYTES - ETF_CRC_BYTES;
}

/* A COBS encoder that is fed in pieces. code is where the running block's length goes. */
typedef struct {
    uint8_t *wire;
    size_t capacity;
    size_t size;
    size_t code;
    uint8_t overflow;
} cobs_writer;

static void cobs_byte(cobs_writer *out, uint8_t byte) {
    if (out->size >= out->capacity) {
        out->overflow = 1;
        return;
    }
    out->wire[out->size++] = byte;
}

static void cobs_close(cobs_writer *out) {
    out->wire[out->code] = (uint8_t)(out->size - out->code);
}

static void cobs_open(cobs_writer *out) {
    out->code = out->size;
    cobs_byte(out, 0);
}

static void cobs_push(cobs_writer *out, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size && !out->overflow; i++) {
        if (out->size - out->code == 255u) {
            cobs_close(out);
            cobs_open(out);
            if (out->overflow) {
                return;
            }
        }
        if (bytes[i] == 0) {
            cobs_close(out);
            cobs_open(out);
        } else {
            cobs_byte(out, bytes[i]);
        }
    }
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4u; i++) {
        at[i] = (uint8_t)(value >> (8u * i));
    }
}

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

size_t etf_encode(const etf_frame *frame, uint8_t *wire, size_t capacity) {
    uint8_t head[ETF_HEADER_BYTES + ETF_FRAGMENT_HEADER_BYTES];
    size_t head_size = ETF_HEADER_BYTES;
    head[0] = ETF_VERSION;
    head[1] = frame->type;
    head[2] = frame->node;
    head[3] = frame->boot;
    put_u32(head + 4, frame->sequence);
    put_u32(head + 8, frame->device_us);
    if (frame->parts > 1u) {
        head[1] = (uint8_t)(frame->type | ETF_FRAGMENT_BIT);
        head[12] = frame->part;
        head[13] = frame->parts;
        head_size += ETF_FRAGMENT_HEADER_BYTES;
    }
    if (capacity < 2u || frame->payload_size > ETF_MAX_BODY_BYTES - ETF_CRC_BYTES - head_size) {
        return 0;
    }
    uint16_t crc = etf_crc16(ETF_CRC_INITIAL, head, head_size);
    crc = etf_crc16(crc, frame->payload, frame->payload_size);
    const uint8_t tail[ETF_CRC_BYTES] = {(uint8_t)(crc & 0xFFu), (uint8_t)(crc >> 8)};

    cobs_writer out = {wire, capacity - 1u, 0, 0, 0}; /* one byte stays free for the delimiter */
    cobs_open(&out);
    cobs_push(&out, head, head_size);
    cobs_push(&out, frame->payload, frame->payload_size);
    cobs_push(&out, tail, sizeof tail);
    if (out.overflow) {
        return 0;
    }
    cobs_close(&out);
    wire[out.size] = 0;
    return out.size + 1u;
}

/* Decodes COBS in place; ETF_BAD_COBS for a zero inside or a block that ends too early. */
static etf_status cobs_decode(uint8_t *block, size_t size, size_t *decoded) {
    size_t from = 0;
    size_t to = 0;
    while (from < size) {
        const size_t code = block[from++];
        if (code == 0 || from + code - 1u > size) {
            return ETF_BAD_COBS;
        }
        for (size_t i = 1; i < code; i++) {
            const uint8_t byte = block[from++];
            if (byte == 0) {
                return ETF_BAD_COBS;
            }
            block[to++] = byte;
        }
        if (code != 255u && from < size) {
            block[to++] = 0;
        }
    }
    *decoded = to;
    return ETF_OK;
}

etf_status etf_decode(uint8_t *block, size_t size, etf_frame *frame) {
    size_t body = 0;
    if (cobs_decode(block, size, &body) != ETF_OK) {
        return ETF_BAD_COBS;
    }
    if (body < ETF_HEADER_BYTES + ETF_CRC_BYTES || body > ETF_MAX_BODY_BYTES) {
        return ETF_BAD_LENGTH;
    }
    body -= ETF_CRC_BYTES;
    if (etf_crc16(ETF_CRC_INITIAL, block, body) != (uint16_t)(block[body] | block[body + 1u] << 8)) {
        return ETF_BAD_CRC;
    }
    if (block[0] != ETF_VERSION) {
        return ETF_BAD_VERSION;
    }
    frame->type = (uint8_t)(block[1] & ~ETF_FRAGMENT_BIT);
    frame->node = block[2];
    frame->boot = block[3];
    frame->sequence = get_u32(block + 4);
    frame->device_us = get_u32(block + 8);
    frame->part = 0;
    frame->parts = 1;
    size_t at = ETF_HEADER_BYTES;
    if ((block[1] & ETF_FRAGMENT_BIT) != 0) {
        if (body < ETF_HEADER_BYTES + ETF_FRAGMENT_HEADER_BYTES) {
            return ETF_BAD_LENGTH;
        }
        frame->part = block[12];
        frame->parts = block[13];
        if (frame->parts < 2u || frame->part >= frame->parts) {
            return ETF_BAD_FRAGMENT;
        }
        at += ETF_FRAGMENT_HEADER_BYTES;
    }
    frame->payload = block + at;
    frame->payload_size = body - at;
    return ETF_OK;
}

void etf_receiver_reset(etf_receiver *receiver) {
    memset(receiver, 0, sizeof *receiver);
}

etf_status etf_receive(etf_receiver *receiver, uint8_t byte, etf_frame *frame) {
    if (byte != 0) {
        if (receiver->size < ETF_MAX_FRAME_BYTES - 1u) {
            receiver->block[receiver->size++] = byte;
        } else {
            receiver->skipping = 1;
        }
        return ETF_MORE;
    }
    const size_t size = receiver->size;
    const uint8_t skipping = receiver->skipping;
    receiver->size = 0;
    receiver->skipping = 0;
    if (size == 0) {
        return ETF_MORE;
    }
    const etf_status status = skipping ? ETF_BAD_LENGTH : etf_decode(receiver->block, size, frame);
    if (status == ETF_OK) {
        receiver->good++;
    } else {
        receiver->damaged++;
    }
    return status;
}

void etf_joiner_reset(etf_joiner *joiner, uint8_t *buffer, size_t capacity) {
    memset(joiner, 0, sizeof *joiner);
    joiner->buffer = buffer;
    joiner->capacity = capacity;
}

static int continues(const etf_joiner *joiner, const etf_frame *frame) {
    return joiner->parts == frame->parts && joiner->next_part == frame->part && joiner->type == frame->type &&
           joiner->node == frame->node && joiner->boot == frame->boot && joiner->next_sequence == frame->sequence;
}

etf_status etf_join(etf_joiner *joiner, const etf_frame *frame, etf_frame *message) {
    if (frame->parts <= 1u) {
        joiner->parts = 0;
        *message = *frame;
        return ETF_OK;
    }
    if (frame->part == 0) {
        joiner->type = frame->type;
        joiner->node = frame->node;
        joiner->boot = frame->boot;
        joiner->parts = frame->parts;
        joiner->size = 0;
    } else if (!continues(joiner, frame)) {
        joiner->parts = 0;
        return ETF_BAD_FRAGMENT;
    }
    if (frame->payload_size > joiner->capacity - joiner->size) {
        joiner->parts = 0;
        return ETF_TOO_LARGE;
    }
    if (frame->payload_size > 0) {
        memcpy(joiner->buffer + joiner->size, frame->payload, frame->payload_size);
    }
    joiner->size += frame->payload_size;
    joiner->next_part = (uint8_t)(frame->part + 1u);
    joiner->next_sequence = frame->sequence + 1u;
    if (joiner->next_part < joiner->parts) {
        return ETF_MORE;
    }
    joiner->parts = 0;
    *message = *frame;
    message->sequence = frame->sequence - frame->part;
    message->part = 0;
    message->parts = 1;
    message->payload = joiner->buffer;
    message->payload_size = joiner->size;
    return ETF_OK;
}

etf_status etf_send(etf_sender *sender, uint8_t type, uint32_t device_us, const uint8_t *payload, size_t size) {
    uint8_t wire[ETF_MAX_FRAME_BYTES];
    size_t room = etf_room(sender->max_frame);
    if (room == 0 || size > ETF_MAX_MESSAGE_BYTES) {
        return ETF_TOO_LARGE;
    }
    size_t parts = 1;
    if (size > room) {
        room -= ETF_FRAGMENT_HEADER_BYTES;
        parts = (size + room - 1u) / room;
        if (parts > 255u) {
            return ETF_TOO_LARGE;
        }
    }
    etf_frame frame = {type, sender->node, sender->boot, 0, (uint8_t)parts, 0, device_us, payload, 0};
    for (size_t part = 0; part < parts; part++) {
        const size_t left = size - part * room;
        frame.part = (uint8_t)part;
        frame.sequence = sender->sequence++;
        frame.payload = size == 0 ? payload : payload + part * room;
        frame.payload_size = left < room ? left : room;
        sender->write(sender->context, wire, etf_encode(&frame, wire, sizeof wire));
    }
    return ETF_OK;
}
