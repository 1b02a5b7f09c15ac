#pragma once
#include "worker.h"

namespace culvert::tunnel {

/// Tells the control thread what happened to an SA since the last batch; nearly always nothing, and then it costs one
/// load.
template <class Sa>
void Worker::report_events(Sa& sa) {
  const std::uint8_t pending = sa.events.take();
  if (pending == 0) return;
  for (const auto event : {ChildEvent::first_inbound, ChildEvent::soft_limit, ChildEvent::hard_limit}) {
    if ((pending & EventFlags::bit(event)) != 0) post(SaEvent{sa.inbound_spi, event});
  }
}

}  // namespace culvert::tunnel
