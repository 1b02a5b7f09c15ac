#pragma once
#include <functional>

#include "culvert/base/bytes.h"

namespace culvert::cli {

/// The kernel shows many ESP packets as one UDP datagram: those that a gateway hands over together (UDP_SEGMENT) before
/// they are cut, and those that came in and were put together (GRO). Gives each as it is, or was, on the wire: `packet`
/// is an IP packet; `each` is called once or more, with packets that live as long as the call. What is no such
/// datagram, or not understood, is given as it stands. Any bytes; any thread.
void split_outer(ByteView packet, const std::function<void(ByteView)>& each);

}  // namespace culvert::cli
