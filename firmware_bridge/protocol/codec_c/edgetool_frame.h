/* Frames of the edgetool protocol (PROTOCOL.md sections 1 and 2) for nodes: C99, no malloc, no recursion, reentrant.
 *
 * Every buffer is the caller's. Functions that can fail return an etf_status; none reads or writes outside the sizes it is given,
 * whatever the bytes are. */
#ifndef EDGETOOL_FRAME_H
#define EDGETOOL_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "edgetool_protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    ETF_OK = 0,
    ETF_MORE,         /* nothing is complete yet */
    ETF_BAD_COBS,     /* not COBS */
    ETF_BAD_LENGTH,   /* shorter or longer than it can be */
    ETF_BAD_CRC,      /* damaged */
    ETF_BAD_VERSION,  /* intact, of another protocol version */
    ETF_BAD_FRAGMENT, /* a part is missing, or out of order */
    ETF_BAD_VALUE,    /* a field is against PROTOCOL.md */
    ETF_TOO_LARGE     /* does not fit the buffer, the link or the protocol */
} etf_status;

/* One frame, or one message rejoined from several (then part is 0, parts 1). */
typedef struct {
    uint8_t type;  /* ETF_TYPE_..., without the fragment bit */
    uint8_t node;
    uint8_t boot;
    uint8_t part;  /* of this frame: 0 .. parts - 1 */
    uint8_t parts; /* 1: the message is whole */
    uint32_t sequence;
    uint32_t device_us;
    const uint8_t *payload; /* without the fragment header */
    size_t payload_size;    /* bytes */
} etf_frame;

/* CRC-16/IBM-3740 of size bytes, from crc (ETF_CRC_INITIAL to begin with). */
uint16_t etf_crc16(uint16_t crc, const uint8_t *bytes, size_t size);

/* Payload bytes of an unsplit frame that fit max_frame wire bytes whatever their values; 0 if max_frame is not 64 to 512. */
size_t etf_room(size_t max_frame);

/* Writes a frame, delimiter included, to wire; returns its bytes, or 0 if it is too large for capacity or the protocol. */
size_t etf_encode(const etf_frame *frame, uint8_t *wire, size_t capacity);

/* Decodes what lies between two delimiters, in place: frame->payload points into block. */
etf_status etf_decode(uint8_t *block, size_t size, etf_frame *frame);

/* Takes bytes as they come; keeps one frame. Clear it with etf_receiver_reset before use. */
typedef struct {
    uint32_t good;    /* intact frames */
    uint32_t damaged; /* blocks that were none */
    uint16_t size;
    uint8_t skipping;
    uint8_t block[ETF_MAX_FRAME_BYTES];
} etf_receiver;

void etf_receiver_reset(etf_receiver *receiver);

/* ETF_OK: *frame is a frame, valid until the next call. ETF_MORE: none ended here. Else: a damaged block ended here. */
etf_status etf_receive(etf_receiver *receiver, uint8_t byte, etf_frame *frame);

/* Rejoins the parts of one message at a time, in order, in the caller's buffer. */
typedef struct {
    uint8_t *buffer;
    size_t capacity; /* the largest message that is taken */
    size_t size;
    uint32_t next_sequence;
    uint8_t type;
    uint8_t node;
    uint8_t boot;
    uint8_t parts; /* 0: no message is open */
    uint8_t next_part;
} etf_joiner;

void etf_joiner_reset(etf_joiner *joiner, uint8_t *buffer, size_t capacity);

/* ETF_OK: *message is whole (a frame that was not split is passed through). ETF_MORE: parts are missing yet. ETF_BAD_FRAGMENT or
 * ETF_TOO_LARGE: the message is given up; its number is frame->sequence - frame->part. */
etf_status etf_join(etf_joiner *joiner, const etf_frame *frame, etf_frame *message);

/* Numbers, splits, frames and writes what one node says. write is called once a wire frame. */
typedef struct {
    uint8_t node;
    uint8_t boot;
    uint16_t max_frame; /* wire bytes that the link carries in one piece, 64 to 512 */
    uint32_t sequence;  /* of the next frame; 0 after reset */
    void (*write)(void *context, const uint8_t *wire, size_t size);
    void *context;
} etf_sender;

/* Sends one message. It holds one wire frame (512 bytes) on the stack. */
etf_status etf_send(etf_sender *sender, uint8_t type, uint32_t device_us, const uint8_t *payload, size_t size);

#ifdef __cplusplus
}
#endif

#endif
