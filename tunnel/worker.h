#pragma once
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "coalescer.h"
#include "control_queue.h"
#include "culvert/base/drop_reason.h"
#include "culvert/base/result.h"
#include "culvert/wire/flow.h"
#include "early_packets.h"
#include "packet.h"
#include "packet_buffers.h"
#include "segment_arena.h"
#include "segmenter.h"
#include "socket_batch.h"
#include "socket_set.h"
#include "tables.h"
#include "unknown_spi_limit.h"
#include "worker_load.h"

namespace culvert::tunnel {

struct WorkerOptions {
  Duration max_wait{};   ///< how long a packet waits for an SA at most
  Duration busy_poll{};  ///< how long an idle worker keeps looking before it sleeps
};

/// One thread that moves packets: from its TUN queues to its sockets and back, run to completion. It sleeps in
/// epoll_wait when there is nothing to do; when there is, each ready device and socket gets one batch a round, so that
/// no direction starves another.
///
/// The control thread makes it, starts and stops it, and calls what says "control thread"; all else is the worker's
/// own.
class Worker {
 public:
  /// `index` is its reader number in `tables` and its queue number in each port. `tables` and `control` outlive it.
  /// Errc::io.
  [[nodiscard]] static Result<std::unique_ptr<Worker>> create(unsigned index, SocketSet sockets,
                                                              PublishedTables& tables, ControlQueue& control,
                                                              const WorkerOptions& options);
  ~Worker();  ///< stops and joins
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Control thread.
  void start();
  void stop() noexcept;  ///< returns when the thread has ended
  /// Makes a sleeping worker look at the tables: packets may wait for an SA that is there now.
  void wake() noexcept;
  /// Starts reading the port's queue; the tables name the port already. Errc::io.
  [[nodiscard]] Result<void> watch(const Port& port);
  void unwatch(const Port& port) noexcept;
  /// Whether it holds ESP whose SA it does not know: wake it when there may be one.
  [[nodiscard]] bool holds_early() const noexcept { return !early_.empty(); }
  [[nodiscard]] const SocketSet& sockets() const noexcept { return sockets_; }

  // Any thread.
  [[nodiscard]] const DropCounters& drops() const noexcept { return drops_; }
  void add_to(WorkerCounters& sum) const noexcept;
  /// Bytes set aside for packets.
  static constexpr std::size_t packet_memory =
      PacketBuffers::num * PacketBuffers::slot_len + SegmentArena::capacity + EarlyPackets::memory;

 private:
  /// What a descriptor in the epoll set is; travels with a number in epoll_event::data.
  enum class Source : std::uint32_t { wake, udp, raw, device };

  Worker(unsigned index, SocketSet sockets, PublishedTables& tables, ControlQueue& control,
         const WorkerOptions& options, FileDescriptor epoll, FileDescriptor wake);
  [[nodiscard]] Result<void> add_to_epoll(int fd, Source source, std::uint32_t number);
  void run();
  [[nodiscard]] int wait(std::span<epoll_event> ready) const noexcept;
  [[nodiscard]] int timeout_ms() const noexcept;
  void dispatch(std::uint64_t tag, std::uint32_t what);
  void send_all_waiting();

  /// When this round began. When it is lone, when this was asked for first: a clock that has left the caches takes as
  /// long as most of what a packet passes before it leaves.
  [[nodiscard]] TimePoint woke() noexcept {
    if (!woke_) woke_ = Clock::now();
    return *woke_;
  }

  // Outbound (outbound.cpp).
  void forward_outbound(const PortView& at);
  [[nodiscard]] bool take_turn(const PortView& at);
  void spread_flows();
  [[nodiscard]] bool send_waiting(const PortView& at);
  [[nodiscard]] std::size_t take_slot(const PortView& at);
  void finish_slots(const PortView& at);
  void admit(const PortView& at, const Packet& packet, Offload offload);
  [[nodiscard]] OutboundSa* choose_sa(const PortView& at, const wire::Flow& flow, const Packet& packet,
                                      const Offload& offload);
  void wait_for_sa(const PortView& at, const wire::Flow& flow, Packet packet, const Offload& offload);
  void queue_fitting(const PortView& at, const Packet& packet, const wire::Flow& flow, OutboundSa& sa);
  void queue_packet(const PortView& at, const Packet& packet, OutboundSa& sa);
  void cut(const PortView& at, const Packet& packet, const Offload& offload, const wire::Flow& flow, OutboundSa& sa);
  void cut_too_long(const PortView& at, Segmenter& segmenter, const wire::Flow& flow, OutboundSa& sa);
  void queue_fragments(const PortView& at, const Packet& packet, std::uint16_t mtu, OutboundSa& sa);
  void return_too_big(const PortView& at, const wire::Flow& flow, ByteView packet, std::uint16_t mtu);
  void send_queued(const PortView& at);
  void send_encrypted();
  void send_run(const OuterPath& path, std::size_t num_items);

  // Inbound (inbound.cpp).
  void forward_inbound(const SocketSet::Udp& from);
  void forward_inbound_raw(const RawEspSocket& from);
  [[nodiscard]] std::span<ReceiveSlot> prepare_slots() noexcept;
  void note_received(std::span<const ReceiveSlot> received) noexcept;
  void demux(const Tables& tables, const SocketSet::Udp& from, const ReceiveSlot& slot, MutableByteView bytes);
  void queue_esp(const Tables& tables, const ReceiveSlot& slot, MutableByteView bytes, std::uint16_t local_port);
  void open_and_deliver();
  void deliver(Port& port, std::uint64_t mask);
  void report_echoes();
  void report_moves();
  void hold_early(const ReceiveSlot& slot, ByteView bytes, std::uint16_t local_port, Spi spi);
  void receive_early();

  // Notices for the control thread.
  template <class Sa>
  void report_events(Sa& sa);
  void post(Event event);
  void retry_posts();
  static void count_one(std::atomic<std::uint64_t>& counter) noexcept {  // one writer: no locked instruction
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void expire_waiting();

  const unsigned index_;
  SocketSet sockets_;
  PublishedTables& tables_;
  ControlQueue& control_;
  const WorkerOptions options_;
  FileDescriptor epoll_;
  FileDescriptor wake_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;

  DropCounters drops_;
  std::atomic<std::uint64_t> wakeups_{0}, tun_read_batches_{0}, udp_receive_batches_{0};

  WorkerLoad load_;
  bool lone_ = false;                ///< while events are dispatched: what came is expected to have come alone
  std::optional<TimePoint> woke_{};  ///< this round; see woke()

  PacketBuffers buffers_;
  std::uint64_t busy_slots_ = 0;  ///< outbound: bit i: buffer i holds what a queued packet still needs
  std::uint64_t held_slot_ = 0;   ///< the one of these that is being worked on
  SegmentArena arena_;
  SocketBatch io_;
  PacketBatch batch_{drops_};
  std::array<std::uint32_t, PacketBatch::capacity> inner_lens_{};  ///< of batch_, before anything was added
  std::array<SendItem, PacketBatch::capacity> items_;
  std::array<std::size_t, PacketBatch::capacity> item_places_{};  ///< item → place in batch_
  std::array<ReceiveSlot, PacketBatch::capacity> slots_;
  static constexpr std::size_t few_slots = 4;
  std::size_t num_slots_ = few_slots;  ///< to receive into at a time
  Coalescer coalescer_;

  std::uint64_t source_tag_ = 0;   ///< inbound: of the datagrams at hand
  std::uint16_t source_port_ = 0;  ///< inbound: ours, where they came in
  bool heard_elsewhere_ = false;   ///< inbound: a packet in batch_ is `elsewhere`
  UnknownSpiLimit unknown_spi_limit_;
  EarlyPackets early_;                    ///< inbound: their SPIs are unknown
  const Tables* early_tables_ = nullptr;  ///< ...in these, which may be gone
  TimePoint early_looked_{};              ///< ...when it was looked the last time
  std::vector<Event> unposted_;  ///< SA events that found the control queue full; a few for each SA at most
  bool control_has_news_ = false;
  bool packets_wait_ = false;
  TimePoint next_expiry_{};
};

}  // namespace culvert::tunnel
