/* dr_trace.h -- the border, second part: what the core tells of its decisions, one record a frame,
 * and captures to decide on. Read by cffi after dr.h, by the same rules. */
#ifndef DR_TRACE_H
#define DR_TRACE_H

#include "dr.h"

/* How a frame's real server was found. */
enum dr_by {
    DR_BY_NOTHING,    /* none was looked for */
    DR_BY_CONNECTION, /* an existing connection */
    DR_BY_TEMPLATE,   /* a new connection, to the server of its client's persistence template */
    DR_BY_SCHEDULER,  /* a new connection, or one packet; without a server when there was none */
    DR_BY_FRAGMENT,   /* a later fragment follows the first */
    DR_BY_ICMP,       /* the connection that an ICMP error is about */
    DR_BYS,
};

/* What of its Ethernet type and headers was understood. */
enum dr_parsed {
    DR_PARSED_NOTHING, /* refused before, or in, its headers */
    DR_PARSED_ARP,
    DR_PARSED_ADDRESSES, /* IP, without ports */
    DR_PARSED_PORTS,
};

enum {
    DR_CANDIDATES = 16,    /* servers of a service that a record has room for */
    DR_RECORD_BYTES = 256, /* of the frame */
    DR_DROPS_KEPT = 16,    /* dropped frames kept for each reason */
    DR_TRACES = 4,         /* that may be open at once */
};

/* A real server as the scheduler saw it, in the order of its visits. */
struct dr_candidate {
    uint8_t address[16];
    uint32_t weight;
    uint32_t active;
    uint32_t inactive;
    uint8_t overloaded;
    uint8_t unused[3];
};

struct dr_record {
    uint64_t time_ns;
    uint64_t frame; /* its number: frames counted when it came, so from 1; 0: it had been held */
    uint32_t length;
    uint32_t captured; /* how many bytes of it are in `bytes` */
    uint32_t server_mtu;
    uint32_t vlan; /* as dr_identity has it */
    uint8_t client[16];
    uint8_t address[16]; /* where the client wants to */
    uint8_t server[16];
    uint8_t service_address[16]; /* of a mark: the mark */
    uint16_t client_port;
    uint16_t port;
    uint16_t server_port;
    uint16_t service_port;
    uint8_t protocol; /* IANA number */
    uint8_t service_protocol;
    uint8_t scheduler;
    uint8_t has_service;
    uint8_t has_server;
    uint8_t verdict; /* enum dr_verdict */
    uint8_t parsed;  /* enum dr_parsed */
    uint8_t by;      /* enum dr_by */
    uint8_t sent;    /* `after` is what was sent: the frame, or an answer to it */
    uint8_t tcp_flags;
    uint8_t connection_before; /* there was one; state_before counts */
    uint8_t connection_after;
    uint8_t state_before; /* enum dr_tcp_state or dr_sctp_state */
    uint8_t state_after;
    uint8_t ttl_before; /* of IP; 0 when there is none */
    uint8_t ttl_after;
    uint8_t before[12]; /* MAC addresses: destination, source */
    uint8_t after[12];
    int32_t chosen;        /* among the candidates, or -1 */
    int32_t cursor_before; /* of round robin, likewise; -1: the list's head */
    int32_t cursor_after;
    uint32_t candidate_count; /* may be more than there is room for */
    int64_t cursor_weight;    /* that wrr asked for before */
    uint8_t bytes[256];       /* DR_RECORD_BYTES: how the frame began when it came */
    struct dr_candidate candidates[16];
};

/* Which frames are told of: those for which all of this holds. Zeros hold for every frame. */
struct dr_trace_filter {
    uint8_t client[16];
    uint8_t address[16]; /* the VIP */
    uint8_t server[16];
    uint64_t verdicts; /* a bit for each */
    uint32_t every;    /* one frame in so many that pass what is known before the decision */
    uint32_t per_s;    /* records a second, at most */
    uint16_t port;     /* of the VIP */
    uint8_t protocol;
    uint8_t client_prefix; /* bits of 128 that count; 0: any client */
    uint8_t has_address;
    uint8_t has_server;
    uint8_t first_only; /* frames that begin a connection, or would have */
    uint8_t unused;
};

/* What a reader missed. */
struct dr_trace_losses {
    uint64_t overwritten; /* it was too slow */
    uint64_t limited;     /* frames not looked at, because of per_s */
};

struct dr_trace;

/* -EMFILE when DR_TRACES are open, -ENOMEM. `room` is in records, a power of two. */
int dr_trace_open(struct dr_trace **out, struct dr_engine *engine,
                  const struct dr_trace_filter *filter, uint32_t room);
void dr_trace_close(struct dr_engine *engine, struct dr_trace *trace);

/* What was recorded from *cursor on, which it moves; takes no lock that the loop waits for. */
size_t dr_trace_read(struct dr_trace *trace, uint64_t *cursor, struct dr_record *records,
                     size_t room, struct dr_trace_losses *losses);

/* The last frames that were dropped for one reason, oldest first. */
size_t dr_read_drops(struct dr_engine *engine, enum dr_verdict verdict, struct dr_record *records,
                     size_t room);

/* As dr_forward, and fills in the record. */
enum dr_verdict dr_forward_recorded(struct dr_engine *engine, struct dr_frame *frame,
                                    uint64_t now_ns, struct dr_record *record);

/* One sentence of why, for people; returns its length, at most `room`. */
size_t dr_explain(const struct dr_record *record, char *out, size_t room);

/* ---- Captures ---- */

enum { DR_FOREIGN = 8 };

/* Frames of other interfaces in a capture, by their link type; the last one also counts those of
 * further types. */
struct dr_foreign {
    uint64_t frames;
    uint32_t link;
    uint32_t unused;
};

enum dr_capture_fault {
    DR_CAPTURE_FINE,
    DR_CAPTURE_UNKNOWN,      /* neither pcap nor pcapng; the value is what it begins with */
    DR_CAPTURE_VERSION,      /* of another version */
    DR_CAPTURE_LINK,         /* frames are not Ethernet; the value is their link type */
    DR_CAPTURE_BLOCK,        /* a block of an impossible length */
    DR_CAPTURE_LENGTH,       /* a frame that is longer than its block, or than any can be */
    DR_CAPTURE_INTERFACES,   /* more than there is room for */
    DR_CAPTURE_NO_INTERFACE, /* a frame of one that was not described */
    DR_CAPTURE_FAULTS,
};

/* Why a step of a replay ended. */
enum dr_replay_stop {
    DR_REPLAY_MORE,  /* the next frame is not all there */
    DR_REPLAY_UNTIL, /* the next frame comes at or after until_ns */
    DR_REPLAY_FULL,  /* as many frames as asked for, or no more room to write */
    DR_REPLAY_FAULT, /* see the report */
};

enum {
    DR_REPLAY_ROOM = 2097152, /* bytes that one frame, and what it releases, may take to write */
    DR_REPLAY_CHANGES = 256,  /* flows that changed server that are told by name */
};

/* A piece of a capture. Its bytes are written to: frames are rewritten in place. */
struct dr_replay_step {
    uint8_t *bytes;
    size_t size;
    uint64_t until_ns;
    size_t frames; /* at most */
    uint8_t *out;  /* pcapng: what is sent, with the explanation beside it; or NULL */
    size_t room;
    size_t used;    /* out: bytes that are done with */
    size_t written; /* out */
    enum dr_replay_stop stop;
};

/* A flow whose frames went to another real server than before. */
struct dr_flow_change {
    uint64_t frame;
    uint64_t time_ns;
    uint8_t client[16];
    uint8_t address[16];
    uint8_t from[16];
    uint8_t to[16];
    uint16_t client_port;
    uint16_t port;
    uint8_t protocol;
    uint8_t by; /* enum dr_by */
};

struct dr_replay_report {
    uint64_t frames;
    uint64_t first_ns;  /* of the capture's own time */
    uint64_t now_ns;    /* the virtual clock */
    uint64_t backwards; /* frames with a time before the one before */
    uint64_t leaps;     /* frames later than any time-out lasts; the clock goes on that long */
    uint64_t joined;    /* frames longer than the MTU: segments joined by offloads */
    uint64_t sent;      /* frames and answers */
    uint64_t flows;
    uint64_t forgotten; /* flows; what became of them later counts as another flow */
    uint64_t changed;
    uint64_t offset;  /* bytes of the capture that were understood */
    uint64_t pending; /* bytes after them that belong to the last block, and were not there yet */
    uint64_t fault_value;
    struct dr_foreign foreign[DR_FOREIGN]; /* frames that are not Ethernet, and were left out */
    enum dr_capture_fault fault;
    uint32_t change_count; /* the first of them */
    struct dr_flow_change changes[256];
};

struct dr_replay;

/* The engine's clock is to begin with `began_ns`; a frame longer than `longest` was joined by
 * offloads; `flows` are remembered, a power of two. */
int dr_replay_new(struct dr_replay **out, struct dr_engine *engine, uint64_t began_ns,
                  uint32_t longest, uint32_t flows);
void dr_replay_free(struct dr_replay *replay);
void dr_replay_step(struct dr_replay *replay, struct dr_replay_step *step);
void dr_replay_report(const struct dr_replay *replay, struct dr_replay_report *out);

/* What a capture tells of MAC addresses: of these addresses by ARP and neighbour discovery, and
 * where frames to them go. */
struct dr_neighbour {
    uint8_t address[16];
    uint8_t claimed[6];   /* by ARP or an advertisement, first */
    uint8_t reached[6];   /* destination MAC of the first IP frame to it */
    uint8_t candidate[6]; /* the caller's: what it may be called if the capture does not say */
    uint8_t taken;        /* a frame has that for its source or destination */
};

struct dr_survey;

/* Fills in the neighbours, whose addresses are the caller's, piece by piece; returns how many bytes
 * are done with. At a fault it goes no further, and a replay of the same capture tells of it. */
int dr_survey_new(struct dr_survey **out, struct dr_neighbour *neighbours, size_t count);
void dr_survey_free(struct dr_survey *survey);
size_t dr_survey_step(struct dr_survey *survey, uint8_t *bytes, size_t size);

/* A pcapng file of one Ethernet interface, in nanoseconds: its beginning, and one frame with a
 * comment. Both return the length, 0 when there is no room. */
size_t dr_pcapng_begin(uint8_t *out, size_t room);
size_t dr_pcapng_frame(uint8_t *out, size_t room, const uint8_t *bytes, uint32_t captured,
                       uint32_t length, uint64_t time_ns, const char *comment,
                       size_t comment_length);

#endif
