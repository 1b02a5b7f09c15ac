#pragma once
#include <memory>

#include "doctor.h"

namespace culvert::cli {

/// This machine, in the network namespace of the caller.
[[nodiscard]] std::unique_ptr<Host> this_host();

}  // namespace culvert::cli
