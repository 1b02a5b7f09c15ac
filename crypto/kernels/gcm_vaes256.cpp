#include "gcm_kernel.h"
#include "vector_256.h"

namespace culvert::crypto {

extern const GcmKernel gcm_vaes256;
const GcmKernel gcm_vaes256 = gcm_kernel<Vector256>();

}  // namespace culvert::crypto
