/* Generated from firmware_bridge/protocol/table.py by firmware_bridge/protocol/codec_c/generate.py: do not edit.
 * The numbers of the edgetool protocol; PROTOCOL.md says what each means. Sizes are in bytes. */
#ifndef EDGETOOL_PROTOCOL_H
#define EDGETOOL_PROTOCOL_H

#define ETF_VERSION 1u
#define ETF_HEADER_BYTES 12u
#define ETF_CRC_BYTES 2u
#define ETF_MAX_BODY_BYTES 508u
#define ETF_MAX_FRAME_BYTES 512u
#define ETF_MIN_FRAME_BYTES 64u
#define ETF_MAX_PAYLOAD_BYTES 494u
#define ETF_MAX_MESSAGE_BYTES 16384u
#define ETF_FRAGMENT_BIT 128u
#define ETF_FRAGMENT_HEADER_BYTES 2u
#define ETF_CRC_INITIAL 65535u
#define ETF_CRC_POLYNOMIAL 4129u
#define ETF_CRC_CHECK 10673u
#define ETF_ANY_NODE 255u
#define ETF_MAX_NODE 254u
#define ETF_MAX_TEXT_BYTES 63u
#define ETF_MAX_STREAMS 16u
#define ETF_MAX_CHANNELS 64u
#define ETF_MAX_SAMPLES 255u
#define ETF_MAX_OUTPUTS 64u
#define ETF_DESCRIPTOR_FIXED_BYTES 12u
#define ETF_DATA_HEADER_BYTES 8u
#define ETF_SYNC_REQUEST_BYTES 8u
#define ETF_SYNC_REPLY_BYTES 12u
#define ETF_STATUS_BYTES 20u
#define ETF_COMMAND_BYTES 4u
#define ETF_REQUEST_HEADER_BYTES 8u
#define ETF_REPLY_HEADER_BYTES 12u
#define ETF_IDENTIFY_FIXED_BYTES 88u
#define ETF_MAX_TENSOR_BYTES 480u
#define ETF_HASH_BYTES 32u
#define ETF_CONTRACT_PREFIX_BYTES 8u
#define ETF_MODEL_PREFIX_BYTES 4u
#define ETF_UNASKED_SEQUENCE 4294967295u
#define ETF_NO_FAILURE 4294967295u
#define ETF_BATTERY_UNKNOWN 255u

/* What a frame carries (section 3). */
#define ETF_TYPE_DESCRIPTOR 1u
#define ETF_TYPE_DATA 2u
#define ETF_TYPE_SYNC_REQUEST 3u
#define ETF_TYPE_SYNC_REPLY 4u
#define ETF_TYPE_STATUS 5u
#define ETF_TYPE_COMMAND 6u
#define ETF_TYPE_REQUEST 16u
#define ETF_TYPE_REPLY 17u

/* How DATA holds values (section 5). */
#define ETF_FORMAT_INT16 1u
#define ETF_FORMAT_INT24 2u
#define ETF_FORMAT_FLOAT32 3u

/* How REQUEST and REPLY hold values (section 9). */
#define ETF_VALUE_NONE 0u
#define ETF_VALUE_INT8 1u
#define ETF_VALUE_INT16 2u
#define ETF_VALUE_FLOAT32 3u

/* What a COMMAND asks for (section 8). */
#define ETF_COMMAND_DESCRIBE 1u
#define ETF_COMMAND_START 2u
#define ETF_COMMAND_STOP 3u
#define ETF_COMMAND_REPORT 4u

/* Operations of on-target inference (section 9). */
#define ETF_OPERATION_IDENTIFY 1u
#define ETF_OPERATION_RESET 2u
#define ETF_OPERATION_STEP 3u
#define ETF_OPERATION_WINDOW 4u
#define ETF_OPERATION_SELF_TEST 5u
#define ETF_OPERATION_STACK 6u
#define ETF_OPERATION_TENSOR 7u

/* Why a request was not carried out (section 9). */
#define ETF_ERROR_NONE 0u
#define ETF_ERROR_UNKNOWN_OPERATION 1u
#define ETF_ERROR_BAD_LENGTH 2u
#define ETF_ERROR_BAD_FORMAT 3u
#define ETF_ERROR_BAD_FRAGMENT 4u
#define ETF_ERROR_TOO_LARGE 5u
#define ETF_ERROR_BUSY 6u
#define ETF_ERROR_UNSUPPORTED 7u
#define ETF_ERROR_NOT_FINITE 8u
#define ETF_ERROR_OTHER_MODEL 9u
#define ETF_ERROR_INTERNAL 10u

/* What the counter of a target counts (section 9). */
#define ETF_COUNTER_NONE 0u
#define ETF_COUNTER_CYCLES 1u
#define ETF_COUNTER_INSTRUCTIONS 2u

/* Result of the self-test at boot (section 9). */
#define ETF_SELF_TEST_NOT_RUN 0u
#define ETF_SELF_TEST_PASSED 1u
#define ETF_SELF_TEST_FAILED 2u

/* Bits of STATUS.flags (section 7). */
#define ETF_STATUS_FLAG_CHARGING 1u
#define ETF_STATUS_FLAG_STREAMING 2u
#define ETF_STATUS_FLAG_SENSOR_FAILED 4u

/* Bits of the identify reply's graphs (section 9). */
#define ETF_GRAPH_WINDOW 1u
#define ETF_GRAPH_STEP 2u

/* Bits of the identify reply's formats (section 9). */
#define ETF_FORMAT_BIT_INT8 1u
#define ETF_FORMAT_BIT_INT16 2u
#define ETF_FORMAT_BIT_FLOAT32 4u

/* Unit codes of the descriptor. */
#define ETF_UNIT_M_PER_S2 1u
#define ETF_UNIT_RAD_PER_S 2u
#define ETF_UNIT_V 3u
#define ETF_UNIT_MV 4u
#define ETF_UNIT_UV 5u
#define ETF_UNIT_FRACTION 6u
#define ETF_UNIT_NM_PER_KG 7u
#define ETF_UNIT_NM 8u
#define ETF_UNIT_RAD 9u
#define ETF_UNIT_DEG 10u
#define ETF_UNIT_G 11u
#define ETF_UNIT_DEG_PER_S 12u

/* BLE service and characteristics. */
#define ETF_SERVICE_UUID "ed6e0001-8c5a-4b0e-9d3f-7a41c2b65e10"
#define ETF_NOTIFY_UUID "ed6e0002-8c5a-4b0e-9d3f-7a41c2b65e10"
#define ETF_WRITE_UUID "ed6e0003-8c5a-4b0e-9d3f-7a41c2b65e10"

#endif
