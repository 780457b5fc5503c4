/* hiredis' work with the server given as HOST and PORT: answers of each type, a pipeline, long values,
 * a reader that gets its bytes in pieces. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                       \
    do {                                                                  \
        if (!(what)) {                                                    \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what);    \
            exit(1);                                                      \
        }                                                                 \
    } while (0)

static int is_text(redisReply *reply, int type, const char *text) {
    int same = reply != NULL && reply->type == type && strcmp(reply->str, text) == 0;
    if (reply != NULL && !same)
        fprintf(stderr, "type %d, text %s\n", reply->type, reply->str ? reply->str : "none");
    freeReplyObject(reply);
    return same;
}

static int is_number(redisReply *reply, long long number) {
    int same = reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == number;
    freeReplyObject(reply);
    return same;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    redisContext *c = redisConnect(argv[1], atoi(argv[2]));
    CHECK(c != NULL && c->err == 0);
    CHECK(is_text(redisCommand(c, "FLUSHALL"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is_text(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG"));
    CHECK(is_text(redisCommand(c, "SET %s %b EX 50", "key", "a\r\nb", (size_t)4), REDIS_REPLY_STATUS, "OK"));
    CHECK(is_text(redisCommand(c, "GET key"), REDIS_REPLY_STRING, "a\r\nb"));
    redisReply *reply = redisCommand(c, "GET none");
    CHECK(reply != NULL && reply->type == REDIS_REPLY_NIL);
    freeReplyObject(reply);
    CHECK(is_number(redisCommand(c, "INCRBY n %lld", 9223372036854775806LL), 9223372036854775806LL));
    CHECK(is_text(redisCommand(c, "INCRBY n 5"), REDIS_REPLY_ERROR, "ERR increment or decrement would overflow"));
    CHECK(is_text(redisCommand(c, "NOSUCH l 1"), REDIS_REPLY_ERROR,
                  "ERR unknown command 'NOSUCH', with args beginning with: 'l' '1' "));
    reply = redisCommand(c, "MGET key none n");
    CHECK(reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3);
    CHECK(reply->element[0]->len == 4 && reply->element[1]->type == REDIS_REPLY_NIL);
    freeReplyObject(reply);

    for (int no = 0; no < 10000; no++) {
        CHECK(redisAppendCommand(c, "SET p%d value-%d", no, no) == REDIS_OK);
        CHECK(redisAppendCommand(c, "GET p%d", no) == REDIS_OK);
    }
    for (int no = 0; no < 10000; no++) {
        char expected[32];
        void *told;
        snprintf(expected, sizeof expected, "value-%d", no);
        CHECK(redisGetReply(c, &told) == REDIS_OK);
        CHECK(is_text(told, REDIS_REPLY_STATUS, "OK"));
        CHECK(redisGetReply(c, &told) == REDIS_OK);
        CHECK(is_text(told, REDIS_REPLY_STRING, expected));
    }

    size_t length = 1000000;
    char *large = malloc(length);
    for (size_t at = 0; at < length; at++)
        large[at] = (char)(at * 31);
    CHECK(is_text(redisCommand(c, "SET large %b", large, length), REDIS_REPLY_STATUS, "OK"));
    reply = redisCommand(c, "GET large");
    CHECK(reply != NULL && reply->len == length && memcmp(reply->str, large, length) == 0);
    freeReplyObject(reply);
    free(large);

    const char *words[] = {"MSET", "k1", "", "k2", "two"};
    const size_t lengths[] = {4, 2, 0, 2, 3};
    CHECK(is_text(redisCommandArgv(c, 5, words, lengths), REDIS_REPLY_STATUS, "OK"));
    CHECK(is_text(redisCommand(c, "GET k1"), REDIS_REPLY_STRING, ""));
    CHECK(is_text(redisCommand(c, "QUIT"), REDIS_REPLY_STATUS, "OK"));
    CHECK(redisCommand(c, "PING") == NULL && c->err != 0);
    redisFree(c);
    puts("hiredis works");
    return 0;
}
