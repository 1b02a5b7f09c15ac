#pragma once
#include <utility>
#include <vector>

#include "core.h"
#include "culvert/ike/endpoint.h"

namespace culvert::ike {

/// What stands behind the endpoint's functions, for the files that define them. Control thread.
struct IkeEndpoint::Impl {
  Impl(EndpointOptions options, std::vector<PeerConfig> peers, crypto::RandomSource& random)
      : core(options, std::move(peers), random) {}
  Core core;
};

}  // namespace culvert::ike
