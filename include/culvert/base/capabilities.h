#pragma once

namespace culvert {

/// The calling thread gives up all its capabilities for good. For threads that need none: those that carry packets,
/// compute, look names up.
void give_up_capabilities() noexcept;

}  // namespace culvert
