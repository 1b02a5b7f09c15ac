#pragma once
#include "culvert/tunnel/mtu.h"
