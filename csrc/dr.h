/* dr.h -- the border: every constant, struct and function that Python sees.
 *
 * cffi reads this file verbatim except for lines beginning with '#', so it holds plain
 * declarations only. Numbers are in host order; addresses are the 16 bytes of an IPv6 address,
 * IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). Functions that return int give 0 or -errno.
 */
#ifndef DR_H
#define DR_H

#include <stddef.h>
#include <stdint.h>

/* What became of a frame. Each frame ends in exactly one of these, and each has a counter. */
enum dr_verdict {
    DR_FORWARDED,      /* sent to a real server */
    DR_ICMP_FORWARDED, /* an ICMP error about a connection, sent to its real server */
    DR_ANSWERED,       /* an ARP request or neighbour solicitation for a VIP, answered */
    DR_ECHO_ANSWERED,  /* a ping of a VIP, answered */
    DR_FRAGMENT_HELD,  /* a fragment that waits for its first one, or waited in vain */
    DR_ARP_OTHER,      /* ARP that is no question for a VIP */
    DR_ARP_CONFLICT,   /* somebody else claims a VIP by ARP */
    DR_NOT_FOR_US,     /* destination MAC is not the one the VIPs are announced with */
    DR_OWN_FRAME,      /* source MAC is our own: a loop */
    DR_FROM_PEER,      /* another director sent it on: not ours to send on once more */
    DR_TRUNCATED,      /* the ring slot was shorter than the frame */
    DR_OVERSIZE,       /* longer than the way out allows */
    DR_WRONG_VLAN,     /* its 802.1Q tags are not those configured, or there are none */
    DR_NOT_IP,         /* neither ARP nor IP */
    DR_MALFORMED,      /* a length, version or header field contradicts the bytes */
    DR_BAD_CHECKSUM,   /* of the IPv4 header */
    DR_MARTIAN,        /* a source address that no client can have */
    DR_SOURCE_ROUTED,  /* with a source route option, which hosts do not accept (RFC 7126) */
    DR_OTHER_PROTOCOL, /* neither TCP, UDP, SCTP nor ICMP */
    DR_ICMP_OTHER,     /* ICMP that is nothing to us */
    DR_NOT_A_VIP,      /* destination address is no VIP */
    DR_NO_SERVICE,     /* a VIP, but no virtual service on that port */
    DR_NO_CONNECTION,  /* in mid-stream, or an ICMP error, and belongs to no connection */
    DR_NO_SERVER,      /* no real server may take the connection */
    DR_SERVER_REMOVED, /* the connection's real server has been taken out */
    DR_DRAINED,        /* its connection was ended, because its real server is drained */
    DR_RESET,          /* the same, and the client was told: a RST, or ICMP port unreachable */
    DR_NO_MAC,         /* the real server's MAC address is not known */
    DR_TTL_EXCEEDED,   /* its time to live ended here */
    DR_TABLE_FULL,     /* no room for another connection, or another fragment */
    DR_SEND_FAILED,    /* the interface did not take it */
    DR_STANDBY,        /* another director is to take it */
    DR_SHED,           /* would have begun a connection: dropped by drop_packet */
    DR_VERDICTS,
};

/* TCP states in the kernel's numbering (also used by its synchronisation messages). */
enum dr_tcp_state {
    DR_TCP_NONE,
    DR_TCP_ESTABLISHED,
    DR_TCP_SYN_SENT,
    DR_TCP_SYN_RECV,
    DR_TCP_FIN_WAIT,
    DR_TCP_TIME_WAIT,
    DR_TCP_CLOSE,
    DR_TCP_CLOSE_WAIT,
    DR_TCP_LAST_ACK,
    DR_TCP_LISTEN,
    DR_TCP_SYNACK,
    DR_TCP_STATES,
};

/* SCTP states, in the kernel's numbering too. */
enum dr_sctp_state {
    DR_SCTP_NONE,
    DR_SCTP_INIT1,
    DR_SCTP_INIT,
    DR_SCTP_C_SENT,
    DR_SCTP_C_REPLIED,
    DR_SCTP_C_WAIT,
    DR_SCTP_COOKIE,
    DR_SCTP_C_ECHOED,
    DR_SCTP_ESTABLISHED,
    DR_SCTP_S_SENT,
    DR_SCTP_S_RECEIVED,
    DR_SCTP_S_ACK_SENT,
    DR_SCTP_REJECTED,
    DR_SCTP_CLOSED,
    DR_SCTP_STATES,
};

enum dr_service_flag {
    /* The kernel's flag word: include/uapi/linux/ip_vs.h. */
    DR_PERSISTENT = 0x1,
    DR_ONE_PACKET = 0x4,
    DR_SCHEDULER_1 = 0x8,  /* sh, mh: fall back to another server */
    DR_SCHEDULER_2 = 0x10, /* sh, mh: the client's port counts too */
    DR_SCHEDULER_3 = 0x20,
};

/* How much room there is. Fixed when the state is made; of memory that is no file, pages are
 * touched only when used. */
struct dr_limits {
    uint32_t services;
    uint32_t servers; /* at most 65,534 */
    uint32_t connections;
    uint32_t fragments; /* that may wait for the first of their packet; not part of the state */
    uint64_t seeds[2];  /* of the connection hash, against chosen collisions; not of the state */
    uint64_t clock; /* names the clock that times are of; state of another clock is not adopted */
};

/* What a region holds, by its header. */
enum dr_state {
    DR_STATE_NONE,         /* nothing but zeros */
    DR_STATE_OURS,         /* can be adopted */
    DR_STATE_OTHER_ROOM,   /* of other limits: can be converted */
    DR_STATE_OTHER_CLOCK,  /* of another boot: its times mean nothing */
    DR_STATE_OTHER_FORMAT, /* of another version, or another compiler */
    DR_STATE_DAMAGED,      /* no state at all, or shorter than it says */
};

struct dr_state_look {
    enum dr_state state;
    uint32_t format;
    uint32_t services; /* its limits; 0 where they cannot be known */
    uint32_t servers;
    uint32_t connections;
    uint32_t count; /* of connections in it, as it says itself; 0 where that cannot be known */
};

/* What became of a region that was there. What is damaged in one is put right or left out: any
 * bytes behind a header that fits end in tables that are sound. */
struct dr_adoption {
    uint8_t adopted;      /* else it was all zeros */
    uint32_t connections; /* taken over */
    uint32_t lost;        /* by its own count, but damaged, or without room here */
    uint32_t put_right;   /* services and servers that contradicted the rest */
};

/* Who we are on the wire. */
struct dr_identity {
    uint8_t mac[6];       /* that the VIPs are announced with, and the source of what we send */
    uint32_t mtu;         /* of the interface, bytes above Ethernet */
    uint8_t hosts[8][16]; /* the host's own addresses: no client has them */
    uint32_t host_count;
    uint8_t peers[8][6]; /* MAC addresses that other directors send from */
    uint32_t peer_count;
    uint32_t vlan;   /* 0: untagged; an identifier; two as outer << 12 | inner (QinQ) */
    uint8_t standby; /* another director has the VIPs: nothing is answered, nothing forwarded */
};

/* Seconds, as `ipvsadm --set` takes them: 0 keeps the value. */
struct dr_timeouts {
    uint32_t tcp_s;
    uint32_t tcp_fin_s;
    uint32_t udp_s;
};

/* What is a sysctl under net.ipv4.vs in kernel IPVS, with its name; see ipvs-sysctl.rst there. */
struct dr_tuning {
    uint8_t conn_reuse_mode;           /* 1 by default, the others 0 if not said otherwise */
    uint8_t expire_nodest_conn;        /* end connections of a server that was taken out */
    uint8_t expire_quiescent_template; /* persistence ends with weight 0 */
    uint8_t sloppy_tcp;                /* begin in mid-stream too */
    uint8_t sloppy_sctp;
    uint8_t schedule_icmp;   /* an ICMP error may begin a connection */
    uint8_t secure_tcp;      /* the TCP states under attack; a mode, as the next two (defense.h) */
    uint8_t drop_entry;      /* end half-open and idle connections */
    uint8_t drop_packet;     /* drop packets that would begin a connection */
    uint8_t backup_only;     /* 1: while a backup daemon runs nothing is forwarded */
    uint8_t run_estimation;  /* 1 by default; 0 freezes the rates */
    uint8_t decrement_ttl;   /* as a router does, and kernel IPVS; without, only MACs change */
    uint16_t icmp_ratelimit; /* ms between two errors to one client, 1000 by default; 0: none */
    uint8_t sync_version;    /* 1 by default; 0 as kernels before 3.0 */
    uint8_t sync_persist_mode;
    uint8_t sync_retries;
    uint8_t sync_ports;           /* 1 by default; a power of two, as a master daemon starts */
    uint32_t sync_threshold;      /* 3 by default: the packet at which others are told */
    uint32_t sync_period;         /* 50 by default, the second number of sync_threshold */
    uint32_t sync_refresh_period; /* s */
    uint32_t sync_qlen_max;       /* messages that may wait on one port */
    uint32_t am_droprate;         /* 10 by default: in mode 3 each tenth packet is dropped */
    uint32_t amemthresh;          /* 1024 pages by default: with less free memory is short */
    uint32_t lblc_expiration;     /* s, a day by default: how long a destination is remembered */
    uint32_t lblcr_expiration;    /* s, a day by default */
    uint8_t unproved_share;       /* percent of the table, 50 by default; ours, not the kernel's */
    uint32_t busy_poll;           /* us after a frame in which the loop looks for more, awake */
};

/* Who tells others of its connections, and who listens; both may run in one director. */
enum dr_sync_role { DR_SYNC_MASTER = 1, DR_SYNC_BACKUP = 2 };

/* As ipvsadm --start-daemon. */
struct dr_sync_daemon {
    enum dr_sync_role role;
    uint32_t maxlen; /* of a message, bytes */
    uint8_t syncid;  /* names a pair; to a backup, 0 is any */
};

struct dr_sync_stats {
    uint64_t announced; /* connections put into messages */
    uint64_t sent;      /* messages taken away to be sent */
    uint64_t discarded; /* messages there was no room for */
    uint64_t received;  /* messages */
    uint64_t learnt;    /* connections made or renewed by them */
    uint64_t refused;   /* messages not understood, or of another pair */
};

/* A virtual service; protocol, address and port name it. */
struct dr_service {
    uint8_t address[16];
    uint8_t mask[16]; /* of the client address in a persistence template */
    uint16_t port;
    uint8_t protocol;  /* IANA number: 6, 17, 132; 0: a firewall mark, ::ffff:M or (IPv6) ::M */
    uint8_t scheduler; /* dr_scheduler_find() */
    uint32_t flags;    /* enum dr_service_flag */
    uint32_t persistent_s;
    uint32_t slow_start_s; /* in which a server that comes reaches its share; 0: at once */
};

/* What a firewall would mark: the first that fits a packet counts. */
struct dr_mark {
    uint8_t address[16];
    uint8_t prefix;   /* bits of the address that count, of 128 */
    uint8_t protocol; /* 0: any */
    uint16_t first_port;
    uint16_t last_port;
    uint32_t mark;
};

/* What becomes of the connections of a server that is drained. */
enum dr_drain {
    DR_DRAIN_NONE,   /* it is not drained */
    DR_DRAIN_KEEP,   /* they go on; it gets no new ones, not by persistence either */
    DR_DRAIN_DROP,   /* they end */
    DR_DRAIN_RESET,  /* each ends with its next packet, and the client is told */
    DR_DRAIN_REHASH, /* each goes to another server with its next packet */
};

/* A real server of a service; address and port name it. */
struct dr_server {
    uint8_t address[16];
    uint16_t port;
    uint8_t drain; /* enum dr_drain; while it is not DR_DRAIN_NONE the weight is 0 */
    uint32_t weight;
    uint32_t upper; /* connections at which it is full, and below which */
    uint32_t lower; /* it opens again; 0 = no limit, three quarters of upper */
};

enum dr_operation {
    DR_ADD_SERVICE,    /* -EEXIST, -ENOSPC, -ENOENT (scheduler), -EINVAL, -ENOMEM */
    DR_EDIT_SERVICE,   /* -ESRCH, -ENOENT, -EINVAL (too many servers for it), -ENOMEM */
    DR_DELETE_SERVICE, /* -ESRCH */
    DR_ADD_SERVER,  /* -ESRCH (service), -EEXIST, -ENOSPC, -ERANGE, -EINVAL (too many; not unicast;
                     * no drain) */
    DR_EDIT_SERVER, /* -ESRCH (service), -ENOENT, -ERANGE, -EINVAL (no drain) */
    DR_DELETE_SERVER, /* -ESRCH (service), -ENOENT */
    DR_SET_MAC,       /* of every server with server.address, and mtu; all zero: not known; the
                       * MAC of the VIPs themselves: the server is this host */
    DR_ZERO_SERVICE,  /* its counters, and its servers': -ESRCH */
    DR_ZERO_ALL,      /* the counters of all, and the totals */
    DR_CLEAR,         /* deletes all services */
};

/* One change of the table. `service` names (and for add and edit, describes) a service. */
struct dr_change {
    enum dr_operation operation;
    int result; /* out: 0 or -errno; -ECANCELED when it was not tried */
    struct dr_service service;
    struct dr_server server;
    uint8_t mac[6]; /* for DR_ADD_SERVER too, where it is known already */
    uint32_t mtu;   /* of the way there, bytes above Ethernet; 0: the interface's */
};

struct dr_counters {
    uint64_t connections;
    uint64_t packets;
    uint64_t bytes; /* IP, without link headers */
};

struct dr_service_row {
    struct dr_service service;
    struct dr_counters in;
    struct dr_counters rates; /* a second, as kernel IPVS estimates them */
    uint32_t slot;
    uint32_t servers;
};

struct dr_server_row {
    struct dr_server server;
    struct dr_counters in;
    struct dr_counters rates;
    uint32_t slot;
    uint32_t active;
    uint32_t inactive;
    uint32_t persistent; /* templates */
    uint8_t mac[6];
    uint32_t mtu; /* of the way there; 0: the interface's */
    uint8_t overloaded;
};

struct dr_connection_row {
    uint8_t client[16];
    uint8_t address[16]; /* the VIP */
    uint8_t server[16];
    uint16_t client_port;
    uint16_t port;
    uint16_t server_port;
    uint8_t protocol;
    uint8_t state;       /* enum dr_tcp_state; of a template 0, or 1 = assured */
    uint8_t is_template; /* of persistence */
    uint8_t removed;     /* its server is no longer in the service */
    uint8_t synced;      /* another director told us of it */
    uint32_t left_ms;    /* until it expires */
};

/* A consistent snapshot: frames == the sum of verdicts, always. */
struct dr_stats {
    uint64_t frames;
    uint64_t bytes;
    uint64_t verdicts[DR_VERDICTS];
    uint64_t created; /* connections, and templates */
    uint64_t expired;
    uint64_t displaced;    /* of those: unproved, and ended to make room */
    uint64_t ring_dropped; /* by the kernel, before we saw them: not among frames */
    struct dr_counters in; /* of all services together, since DR_ZERO_ALL */
    struct dr_counters rates;
    uint32_t connections; /* now in the table, templates included */
    uint32_t unproved;    /* of those: the client has not gone on yet */
    uint32_t services;
    uint32_t servers;
};

/* What one worker did since it was added. Those of all workers together are in the snapshot that
 * is taken with them, beside what earlier engines counted on the same state. */
struct dr_worker_stats {
    uint64_t frames;
    uint64_t forwarded;
    uint64_t ring_dropped;
    uint64_t wakeups; /* after it had slept, because nothing was to be done */
};

/* A frame and what came with it. The bytes are rewritten in place. */
struct dr_frame {
    uint8_t *data;     /* from the Ethernet header on */
    uint32_t length;   /* bytes on the wire */
    uint32_t captured; /* bytes at data */
    uint16_t gso_size; /* payload bytes a segment when segments were joined, else 0 */
    uint8_t send;      /* out: what is at data now is to be sent; may be an answer instead */
    uint8_t local;     /* out: to be sent into the host's own stack, not out of the interface */
    uint8_t failed;    /* out: could not be sent */
};

/* How to open the rings. The caller makes the AF_PACKET sockets (that needs CAP_NET_RAW, nothing
 * afterwards does), attaches filters that part frames by length, and keeps the descriptors open. */
struct dr_ring {
    int small_fd; /* receives frames up to an MTU */
    int large_fd; /* receives super-frames, and sends them */
    int send_fd;  /* transmits frames up to an MTU */
    int local_fd; /* sends on lo, to a server that is this host; 0: there is none */
    int interface_index;
    uint32_t small_slot_bytes; /* a power of two from 2048 on; headers take 128 of them */
    uint32_t small_slots;
    uint32_t large_slots; /* of 68 KiB */
    uint32_t send_slots;  /* of small_slot_bytes */
};

/* How to open an AF_XDP socket. The caller makes it, keeps it open, and sees to a program that
 * steers a queue's frames into it. */
struct dr_xsk {
    int fd;
    int interface_index;
    uint32_t queue;       /* of the interface */
    uint32_t chunk_bytes; /* 2048 or 4096; 256 of them come before a frame */
    uint32_t chunks;      /* a power of two */
    int must_not_copy;    /* only where the device itself reads and writes the chunks */
};

enum { DR_WORKERS = 64, DR_XSKS = 64 }; /* at most; the latter of one worker */

struct dr_engine;
struct io;

/* Rows are in the order of the lists: services by slot, servers newest first. Each call returns how
 * many rows it wrote. Connections come in chunks: start with *cursor 0, go on until it is 0 again.
 */
/* A region all of zeros is made into fresh state; one left by an engine with the same limits is
 * adopted, connections and all; -ESTALE is one that cannot be used, -EINVAL one too small. */
size_t dr_state_size(const struct dr_limits *limits);
/* `size` bytes from the beginning of a region, which may be another's. */
void dr_state_look(const void *state, size_t size, const struct dr_limits *limits,
                   struct dr_state_look *out);
/* Fills a new region from one of other limits, which is used up by it. Services and servers keep
 * their slots, so their room must not be less: -EINVAL, as for one that is not DR_STATE_OTHER_ROOM.
 * Of more connections than there is room for, those that are in use come first. */
int dr_state_convert(void *from, size_t from_size, void *to, size_t to_size,
                     const struct dr_limits *limits, uint64_t now_ns, struct dr_adoption *out);
int dr_engine_new(struct dr_engine **out, void *state, size_t size, const struct dr_limits *limits,
                  uint64_t now_ns);
void dr_engine_adoption(const struct dr_engine *engine, struct dr_adoption *out);
void dr_engine_free(struct dr_engine *engine);

/* Each gives an I/O end to the first worker that has none, or to one more; -ENOSPC beyond
 * DR_WORKERS. All share one table, so whichever meets a frame decides the same. No loop may run. */
int dr_engine_open_memory(struct dr_engine *engine, uint32_t slots);
int dr_engine_open_ring(struct dr_engine *engine, const struct dr_ring *ring);
/* An end (io.h) of the caller's making, which is the engine's from now on, unless this fails. */
int dr_engine_open_end(struct dr_engine *engine, struct io *end);
/* Puts an AF_XDP socket beside a worker's rings. -EINVAL: no such queue; -ENOBUFS: the host's limit
 * of locked memory; -EBUSY: the queue has one already; -EOPNOTSUPP; -ENOSPC beyond DR_XSKS. */
int dr_engine_open_xsk(struct dr_engine *engine, uint32_t worker, const struct dr_xsk *xsk);

/* The loop of one worker, in the caller's thread, until dr_engine_stop(), which ends all. */
int dr_engine_run(struct dr_engine *engine, uint32_t worker);
void dr_engine_stop(struct dr_engine *engine);
/* Closes every worker's end, once no loop runs any more: the interface is another one now. Workers
 * keep their counters, and get new ends by the calls above. */
void dr_engine_close_ends(struct dr_engine *engine);
int dr_engine_step(struct dr_engine *engine, uint64_t now_ns);

void dr_set_identity(struct dr_engine *engine, const struct dr_identity *identity);
void dr_set_timeouts(struct dr_engine *engine, const struct dr_timeouts *timeouts);
int dr_set_marks(struct dr_engine *engine, const struct dr_mark *marks, size_t count);
void dr_set_tuning(struct dr_engine *engine, const struct dr_tuning *tuning);
/* Applies changes in their order, all between the same two batches; with `stop` none after the
 * first that fails. */
void dr_apply(struct dr_engine *engine, struct dr_change *changes, size_t count, int stop,
              uint64_t now_ns);
int dr_forward_held(struct dr_engine *engine, struct dr_frame *frame, uint64_t now_ns);
enum dr_verdict dr_forward(struct dr_engine *engine, struct dr_frame *frame, uint64_t now_ns);

/* -EEXIST, -EINVAL, -ENOMEM; -ESRCH */
int dr_sync_start(struct dr_engine *engine, const struct dr_sync_daemon *daemon);
int dr_sync_stop(struct dr_engine *engine, enum dr_sync_role role);
/* The next message that is due, and on which of sync_ports it goes; 0: none. To be asked every
 * 20 ms. */
size_t dr_sync_take(struct dr_engine *engine, uint64_t now_ns, uint32_t *port, uint8_t *bytes,
                    size_t room);
/* -ESRCH (no backup daemon), -EBADMSG, -EPERM (another syncid) */
int dr_sync_receive(struct dr_engine *engine, const uint8_t *bytes, size_t length, uint64_t now_ns);

/* Returns how many workers there are; theirs, if asked for, needs room for DR_WORKERS. */
uint32_t dr_read_stats(struct dr_engine *engine, struct dr_stats *out,
                       struct dr_worker_stats *workers);
void dr_read_timeouts(struct dr_engine *engine, struct dr_timeouts *out);
size_t dr_read_services(struct dr_engine *engine, struct dr_service_row *rows, size_t room);
size_t dr_read_servers(struct dr_engine *engine, uint32_t service_slot, struct dr_server_row *rows,
                       size_t room);
size_t dr_read_connections(struct dr_engine *engine, uint32_t *cursor, uint64_t now_ns,
                           struct dr_connection_row *rows, size_t room);

int dr_scheduler_find(const char *name);
const char *dr_scheduler_name(int scheduler);

int dr_memory_push(struct dr_engine *engine, uint32_t worker, const struct dr_frame *frame);
size_t dr_memory_pop(struct dr_engine *engine, uint32_t worker, uint8_t *bytes, size_t room);

#endif
