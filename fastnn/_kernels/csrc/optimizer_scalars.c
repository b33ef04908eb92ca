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

/* RAdam (Liu et al., 2020): Adam's step times the rectification, once the average of squares holds the worth of more
 * than 5 steps; before that the plain average of the gradient. */
static void radam_scalars(const double *hyper, double t, double *k)
{
    const double correction = bias_correction(hyper[1], t), longest = 2 / (1 - hyper[1]) - 1;
    const double length = longest - 2 * t * pow(hyper[1], t) / correction;
    k[0] /= bias_correction(hyper[0], t);
    k[1] = 1 - hyper[0];
    k[2] = 1 - hyper[1];
    k[3] = 1;
    if (length > 5) {
        k[0] *= sqrt(correction * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
        k[3] = hyper[2];
        k[4] = 1;
    }
}

static void schedule_free_scalars(const double *hyper, double t, double *k)
{
    if (t < hyper[3]) k[0] *= t / hyper[3];
    k[1] = 1 - hyper[1];
    k[2] = 1 / bias_correction(hyper[1], t);
    k[3] = hyper[2];
    k[4] = hyper[0];
    k[5] = 1 / hyper[0];
    k[6] = 1 / t;
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
    case FNN_RADAM:
        radam_scalars(hyper, t, k);
        break;
    case FNN_FTRL:
    case FNN_FTRL_POWER:
        k[1] = 1 / learning_rate;
        k[2] = hyper[1];
        k[3] = 2 * hyper[2] + hyper[4] / learning_rate;
        k[4] = 2 * hyper[3];
        k[5] = -hyper[0];
        break;
    case FNN_SCHEDULE_FREE:
    case FNN_SCHEDULE_FREE_BEGIN:
        schedule_free_scalars(hyper, t, k);
        break;
    case FNN_LAMB:
        k[0] = 1 / bias_correction(hyper[0], t);
        k[1] = 1 - hyper[0];
        k[2] = 1 - hyper[1];
        k[3] = 1 / bias_correction(hyper[1], t);
        k[4] = hyper[2];
        break;
    case FNN_MUON:
        k[0] = hyper[0];
        k[1] = hyper[1] ? 1 : 0;
        k[2] = hyper[1] ? hyper[0] : 1;
        break;
    case FNN_ADAFACTOR:
        k[0] = pow(t, hyper[0]);
        k[1] = hyper[1];
        k[2] = fmin(learning_rate, 1 / sqrt(t));
        k[3] = hyper[2];
        k[4] = hyper[3];
        break;
    }
}
