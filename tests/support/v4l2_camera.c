/* A USB camera in user space, so that the real OpenCV can be tested where there is no /dev/video*.
 *
 * Preloaded into a process, it makes the file $CAMERA_PATH a V4L2 device that streams the files $CAMERA_PICTURES/0,
 * /1, ... at 50 pictures a second. After the last one it does what $CAMERA_END says: `again` from the first, `silent`,
 * `gone`. $CAMERA_FORMAT is the only form that it offers: MJPG or YUYV.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 20, BUFFERS = 10, PERIOD_US = 20000 };

static int camera = -1, is_due;
static char *memory;
static unsigned width = 640, height = 480, buffers, queued[BUFFERS + 1], waiting, next;

static const char *setting(const char *name, const char *usual) {
    const char *value = getenv(name);
    return value ? value : usual;
}

static unsigned form(void) {
    const char *name = setting("CAMERA_FORMAT", "MJPG");
    return v4l2_fourcc(name[0], name[1], name[2], name[3]);
}

static FILE *picture(unsigned number) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%u", setting("CAMERA_PICTURES", "."), number);
    return fopen(path, "rb");
}

static int plug_in(void) {
    camera = memfd_create("camera", 0);
    if (ftruncate(camera, (off_t)ROOM * BUFFERS)) return -1;
    memory = mmap(NULL, (size_t)ROOM * BUFFERS, PROT_READ | PROT_WRITE, MAP_SHARED, camera, 0);
    return camera;
}

static int opened(const char *symbol, const char *path, int flags, mode_t mode) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, symbol);
    return (flags & O_RDWR) && !strcmp(path, setting("CAMERA_PATH", "")) ? plug_in() : real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened("open64", path, flags, mode);
}

int close(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    if (fd >= 0 && fd == camera) camera = -1;
    return real(fd);
}

/* Whoever waits for the camera waits one period, or in vain when it is silent. */
int select(int n, fd_set *reads, fd_set *writes, fd_set *excepts, struct timeval *patience) {
    int (*real)(int, fd_set *, fd_set *, fd_set *, struct timeval *) = dlsym(RTLD_NEXT, "select");
    if (camera < 0 || !reads || !FD_ISSET(camera, reads)) return real(n, reads, writes, excepts, patience);
    FILE *file = picture(next);
    if (file) fclose(file);
    if (!file && !strcmp(setting("CAMERA_END", "again"), "silent")) {
        FD_ZERO(reads);
        return real(0, NULL, NULL, NULL, patience);
    }
    usleep(PERIOD_US);
    is_due = 1;
    return 1;
}

static int failed(int reason) {
    errno = reason;
    return -1;
}

static int dequeue(struct v4l2_buffer *buffer) {
    struct timespec now;
    if (!is_due || !waiting) return failed(EAGAIN);
    is_due = 0;
    FILE *file = picture(next);
    if (!file && !strcmp(setting("CAMERA_END", "again"), "gone")) return failed(ENODEV);
    if (!file) file = picture(next = 0);
    if (!file) return failed(EIO);
    next++;
    buffer->index = queued[0];
    memmove(queued, queued + 1, --waiting * sizeof *queued);
    buffer->bytesused = fread(memory + (size_t)buffer->index * ROOM, 1, ROOM, file);
    fclose(file);
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->length = ROOM;
    buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = now.tv_sec;
    buffer->timestamp.tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int describe(struct v4l2_pix_format *pix) {
    memset(pix, 0, sizeof *pix);
    pix->width = width;
    pix->height = height;
    pix->pixelformat = form();
    pix->bytesperline = form() == V4L2_PIX_FMT_YUYV ? width * 2 : 0;
    pix->sizeimage = width * height * 2;
    return 0;
}

static int answer(unsigned long asked, void *given) {
    struct v4l2_buffer *buffer = given;
    struct v4l2_pix_format *pix = &((struct v4l2_format *)given)->fmt.pix;
    struct v4l2_requestbuffers *wanted = given;
    struct v4l2_capability *able = given;
    switch (asked) {
    case VIDIOC_QUERYCAP:
        memset(able, 0, sizeof *able);
        able->capabilities = able->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_S_FMT:
        width = pix->width;
        height = pix->height;
        return describe(pix);
    case VIDIOC_G_FMT:
        return describe(pix);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        ((struct v4l2_streamparm *)given)->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        return 0;
    case VIDIOC_REQBUFS:
        buffers = wanted->count = wanted->count > BUFFERS ? BUFFERS : wanted->count;
        return 0;
    case VIDIOC_QUERYBUF:
        if (buffer->index >= buffers) return failed(EINVAL);
        buffer->length = ROOM;
        buffer->m.offset = buffer->index * ROOM;
        return 0;
    case VIDIOC_QBUF:
        if (waiting >= BUFFERS) return failed(EINVAL);
        queued[waiting++] = buffer->index;
        return 0;
    case VIDIOC_DQBUF:
        return dequeue(buffer);
    case VIDIOC_STREAMON:
        return 0;
    case VIDIOC_STREAMOFF:
        waiting = 0;
        return 0;
    default:
        return failed(EINVAL);
    }
}

int ioctl(int fd, unsigned long asked, ...) {
    va_list rest;
    va_start(rest, asked);
    void *given = va_arg(rest, void *);
    va_end(rest);
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return fd >= 0 && fd == camera ? answer(asked, given) : real(fd, asked, given);
}
