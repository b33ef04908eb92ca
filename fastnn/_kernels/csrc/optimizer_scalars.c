/* The numbers of one optimizer step that are the same for every parameter, in double. */
#include "fastnn.h"
#include <math.h>

/* 1 - beta^step without the cancellation that pow would bring at small steps */
static double bias_correction(double beta, double step) { return -expm1(step * log(beta)); }

/* Nadam's momentum schedule (Dozat, 2016): beta_1 * (1 - 0.96^step / 2) */
static double nadam_momentum(double beta, double step) { return beta * (1 - 0.5 * pow(0.96, step)); }

static void nadam_scalars(const double *hyper, double t, double lr, double *product, double *k)
{
    const double u = nadam_momentum(hyper[0], t), next_u = nadam_momentum(hyper[0], t + 1);
    const double root = sqrt(bias_correction(hyper[1], t));
    *product *= u;
    k[0] = lr * root * next_u / (1 - *product * next_u);
    k[1] = lr * root * (1 - u) / (1 - *product);
    k[2] = 1 - hyper[0];
    k[3] = 1 - hyper[1];
    k[4] = hyper[2] * root;
}

void fnn_optimizer_scalars(int kind, const double *hyper, double weight_decay, int64_t step,
                           double learning_rate, double *memory, fnn_update *out)
{
    const double t = (double)step;
    double *k = out->scalar;
    for (int i = 0; i < FNN_MAX_SCALARS; i++) k[i] = 0;
    out->decay = learning_rate * weight_decay;
    k[0] = learning_rate;
    switch (kind) {
    case FNN_MOMENTUM:
    case FNN_NESTEROV:
        k[1] = hyper[0];
        break;
    case FNN_RMSPROP:
    case FNN_RMSPROP_CENTERED:
        k[1] = 1 - hyper[0];
        k[2] = hyper[1];
        k[3] = hyper[2];
        break;
    case FNN_ADAGRAD:
        k[1] = hyper[0];
        break;
    case FNN_ADADELTA:
        k[1] = 1 - hyper[0];
        k[2] = hyper[1];
        break;
    case FNN_ADAM:
    case FNN_AMSGRAD:
        k[0] *= sqrt(bias_correction(hyper[1], t)) / bias_correction(hyper[0], t);
        k[1] = 1 - hyper[0];
        k[2] = 1 - hyper[1];
        k[3] = hyper[2];
        break;
    case FNN_ADAMAX:
        k[0] /= bias_correction(hyper[0], t);
        k[1] = 1 - hyper[0];
        k[2] = hyper[1];
        k[3] = hyper[2];
        break;
    case FNN_NADAM:
        nadam_scalars(hyper, t, learning_rate, &memory[0], k);
        break;
    case FNN_LION:
        k[1] = hyper[0];
        k[2] = 1 - hyper[0];
        k[3] = hyper[1];
        k[4] = 1 - hyper[1];
        break;
    }
}
