#include "gcm_kernel.h"
#include "vector_512.h"

namespace culvert::crypto {

extern const GcmKernel gcm_vaes512;
const GcmKernel gcm_vaes512 = gcm_kernel<Vector512>();

}  // namespace culvert::crypto
