# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_flagstone_global_optspecs
    string join \n config= check-config print-config log-format= log-level= slow-request= slow-log= hot-keys= tell-keys= seal= listen= unix-mode= tls-cert= tls-key= tls-client-ca= tls-min= tls-max-connections= admin= admin-host= admin-token-file= memory= memory-max= max-item= max-key= workers= spin= max-connections= socket-buffer= arena= arena-required= eviction= curve= prefault= huge-pages= snapshot= snapshot-timeout= drain-delay= drain-timeout= stall-timeout= flush= enable-shutdown= login-timeout= idle-timeout= auth-file= auth-token-file= test-hooks= cgroup-root= h/help V/version
end

function __fish_flagstone_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_flagstone_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_flagstone_using_subcommand
    set -l cmd (__fish_flagstone_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c flagstone -n "__fish_flagstone_needs_command" -l config -d 'A file of settings in TOML: a key for each flag, named as it is, without the dashes' -r -F
complete -c flagstone -n "__fish_flagstone_needs_command" -l log-format -d 'Messages on stderr: plain for people, json for collectors, one a line' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l log-level -d 'The least important messages to print: error, warn, info or debug' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l slow-request -d 'Tell of requests that took so long or longer, once a second at most; none for never' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l slow-log -d 'Keep the last 128 requests that took so long or longer, for SLOW, SLOWLOG GET and /slow; none for never' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l hot-keys -d 'Find out which keys are asked for most, for HOTKEYS, stats hotkeys and /hotkeys' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l tell-keys -d 'Keep the beginnings of hot keys and of those of slow requests, for administrators; else length and hash' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l seal -d 'What an allocation means that is made while a request is served: count is a figure in /metrics, abort ends the server with a backtrace, for tests' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l listen -d 'Where to accept connections: ADDR:PORT, tls:ADDR:PORT or unix:PATH, for every protocol, or with native:, memcached:, binary: or resp: before it for one alone; proxy: before the place, behind a protocol, for one that a proxy\'s PROXY header (version 2) comes before; may be repeated, or separated by commas' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l unix-mode -d 'The permissions of Unix sockets\' files, in octal' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l tls-cert -d 'The certificate for places with tls: before them, and those above it, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_needs_command" -l tls-key -d 'The key of that certificate, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_needs_command" -l tls-client-ca -d 'The authorities, in PEM, one of which has to have signed the certificate that each client presents at places with tls:; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_needs_command" -l tls-min -d 'The oldest version of TLS that is spoken: 1.2 or 1.3' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l tls-max-connections -d 'Connections with TLS at a time; each is planned with 48 KiB, or 64 with --tls-client-ca [default: 1000, or as many as take an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l admin -d 'Address and port for health checks, metrics and a page to look at (/livez, /readyz, /metrics, /); none for nowhere' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l admin-host -d 'Names, separated by commas, under which browsers may ask for the admin pages; addresses, localhost and names without a dot always work' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l admin-token-file -d 'A file of tokens, a line each: the admin pages want to see one of them, as a bearer token or as a password that goes with any name; /livez and /readyz are for everybody; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_needs_command" -l memory -d 'The whole process\'s memory: bytes, or with k, m, g (powers of 1024; 64Mi works, too); auto takes the container\'s limit, or 256MiB where there is none' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l memory-max -d 'What the memory may grow to when the container\'s limit is raised while it runs [default: the memory]' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l max-item -d 'The longest value' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l max-key -d 'The longest key: 250 to 16000 bytes. A line of the native protocol holds one of about 2000, and memcached\'s have at most 250' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l workers -d 'Threads that serve connections [default: the CPUs that the process may use]' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l spin -d 'Microseconds for which a worker that is asked again and again looks for the next request before it sleeps: answers a client that waits for each sooner, for processor time' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l max-connections -d 'Connections served at a time; the next one gets ERROR and is closed [default: 10000, or as many as leave the cache an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l socket-buffer -d 'Each of a connection\'s two socket buffers: larger carries long values faster over long ways, smaller bounds what peers that do not read can cost' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l arena -d 'What the cache\'s memory is made of: heap, mmap (anonymous), or the path of a file, which the next process goes on with' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l arena-required -d 'Do not start if there is a file at --arena of which nothing can be restored' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l eviction -d 'Which items leave when room is needed: adaptive (new ones prove themselves first, and for how long follows what is asked for), s3fifo (for a tenth of the memory) or lru (who was used longest ago)' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l curve -d 'Work out from a sample of the keys what the hit ratio would be with less memory, and with more' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l prefault -d 'Touch all of the cache\'s memory before the first connection' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l huge-pages -d 'Ask the kernel for huge pages' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l snapshot -d 'A file that all items are written to at the end, after the last request, and whenever `flagstone snapshot` asks for it; the next start restores them, on whatever machine and with whatever memory' -r -F
complete -c flagstone -n "__fish_flagstone_needs_command" -l snapshot-timeout -d 'How long writing that file at the end may take; after that an older one stays as it is' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l drain-delay -d 'After a first SIGTERM, how long to go on serving while /readyz says no, so that whoever sends requests here finds out before the door closes' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l drain-timeout -d 'How long a shutdown may take: seconds, or with ms, s, m, h' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l stall-timeout -d 'How long a connection may hold a buffer (half a request, an unread reply) without getting on' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l flush -d 'Let clients remove everything at once (FLUSH, flush_all)' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l enable-shutdown -d 'Let clients shut the server down (memcached\'s shutdown)' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l login-timeout -d 'Close connections that have not logged in so long after they came, where everybody has to; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l idle-timeout -d 'Close connections on which nothing was asked for so long: seconds, or with ms, s, m, h; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l auth-file -d 'A file with a line user:password for each who may log in, as memcached\'s clients do with a set; if it is given, everybody has to; [read], [write] or [admin] and a space may stand before it, and say what that user may do [everything]; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_needs_command" -l auth-token-file -d 'A file of tokens, a line each: clients must begin with AUTH and one of them, or in memcached\'s protocol with a set whose value is any name, a space, and the token; with [read], [write] or [admin] before it as in --auth-file; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_needs_command" -l test-hooks -d 'Let clients move the clock, for tests' -r
complete -c flagstone -n "__fish_flagstone_needs_command" -l cgroup-root -d 'Where proc and sys are, for tests' -r -F
complete -c flagstone -n "__fish_flagstone_needs_command" -l check-config -d 'Check the settings, and exit: code 0 if they work, else 2'
complete -c flagstone -n "__fish_flagstone_needs_command" -l print-config -d 'Print the settings and where each comes from, as a file of settings, and exit'
complete -c flagstone -n "__fish_flagstone_needs_command" -s h -l help -d 'Print help'
complete -c flagstone -n "__fish_flagstone_needs_command" -s V -l version -d 'Print version'
complete -c flagstone -n "__fish_flagstone_needs_command" -f -a "plan" -d 'Print where each byte of the memory would go, and exit'
complete -c flagstone -n "__fish_flagstone_needs_command" -f -a "stats" -d 'Print the counters of a running server; where it wants a login, with the first of its --auth-token-file or --auth-file, and over TLS only if it presents the certificate of --tls-cert'
complete -c flagstone -n "__fish_flagstone_needs_command" -f -a "top" -d 'Watch a running server: rates, percentiles, memory, size classes; where its pages want a token, with the first of its --admin-token-file'
complete -c flagstone -n "__fish_flagstone_needs_command" -f -a "healthcheck" -d 'Ask a running server whether it answers: exit code 0 if it does, else 1. One that listens for TLS alone is asked at its admin pages, where --admin names them, else over TLS'
complete -c flagstone -n "__fish_flagstone_needs_command" -f -a "snapshot" -d 'Ask a running server for a snapshot in the file of its --snapshot, and wait until it is written: exit code 0 if it is, else 1; where its pages want a token, with the first of its --admin-token-file'
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l config -d 'A file of settings in TOML: a key for each flag, named as it is, without the dashes' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l log-format -d 'Messages on stderr: plain for people, json for collectors, one a line' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l log-level -d 'The least important messages to print: error, warn, info or debug' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l slow-request -d 'Tell of requests that took so long or longer, once a second at most; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l slow-log -d 'Keep the last 128 requests that took so long or longer, for SLOW, SLOWLOG GET and /slow; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l hot-keys -d 'Find out which keys are asked for most, for HOTKEYS, stats hotkeys and /hotkeys' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l tell-keys -d 'Keep the beginnings of hot keys and of those of slow requests, for administrators; else length and hash' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l seal -d 'What an allocation means that is made while a request is served: count is a figure in /metrics, abort ends the server with a backtrace, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l listen -d 'Where to accept connections: ADDR:PORT, tls:ADDR:PORT or unix:PATH, for every protocol, or with native:, memcached:, binary: or resp: before it for one alone; proxy: before the place, behind a protocol, for one that a proxy\'s PROXY header (version 2) comes before; may be repeated, or separated by commas' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l unix-mode -d 'The permissions of Unix sockets\' files, in octal' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l tls-cert -d 'The certificate for places with tls: before them, and those above it, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l tls-key -d 'The key of that certificate, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l tls-client-ca -d 'The authorities, in PEM, one of which has to have signed the certificate that each client presents at places with tls:; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l tls-min -d 'The oldest version of TLS that is spoken: 1.2 or 1.3' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l tls-max-connections -d 'Connections with TLS at a time; each is planned with 48 KiB, or 64 with --tls-client-ca [default: 1000, or as many as take an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l admin -d 'Address and port for health checks, metrics and a page to look at (/livez, /readyz, /metrics, /); none for nowhere' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l admin-host -d 'Names, separated by commas, under which browsers may ask for the admin pages; addresses, localhost and names without a dot always work' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l admin-token-file -d 'A file of tokens, a line each: the admin pages want to see one of them, as a bearer token or as a password that goes with any name; /livez and /readyz are for everybody; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l memory -d 'The whole process\'s memory: bytes, or with k, m, g (powers of 1024; 64Mi works, too); auto takes the container\'s limit, or 256MiB where there is none' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l memory-max -d 'What the memory may grow to when the container\'s limit is raised while it runs [default: the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l max-item -d 'The longest value' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l max-key -d 'The longest key: 250 to 16000 bytes. A line of the native protocol holds one of about 2000, and memcached\'s have at most 250' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l workers -d 'Threads that serve connections [default: the CPUs that the process may use]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l spin -d 'Microseconds for which a worker that is asked again and again looks for the next request before it sleeps: answers a client that waits for each sooner, for processor time' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l max-connections -d 'Connections served at a time; the next one gets ERROR and is closed [default: 10000, or as many as leave the cache an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l socket-buffer -d 'Each of a connection\'s two socket buffers: larger carries long values faster over long ways, smaller bounds what peers that do not read can cost' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l arena -d 'What the cache\'s memory is made of: heap, mmap (anonymous), or the path of a file, which the next process goes on with' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l arena-required -d 'Do not start if there is a file at --arena of which nothing can be restored' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l eviction -d 'Which items leave when room is needed: adaptive (new ones prove themselves first, and for how long follows what is asked for), s3fifo (for a tenth of the memory) or lru (who was used longest ago)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l curve -d 'Work out from a sample of the keys what the hit ratio would be with less memory, and with more' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l prefault -d 'Touch all of the cache\'s memory before the first connection' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l huge-pages -d 'Ask the kernel for huge pages' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l snapshot -d 'A file that all items are written to at the end, after the last request, and whenever `flagstone snapshot` asks for it; the next start restores them, on whatever machine and with whatever memory' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l snapshot-timeout -d 'How long writing that file at the end may take; after that an older one stays as it is' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l drain-delay -d 'After a first SIGTERM, how long to go on serving while /readyz says no, so that whoever sends requests here finds out before the door closes' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l drain-timeout -d 'How long a shutdown may take: seconds, or with ms, s, m, h' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l stall-timeout -d 'How long a connection may hold a buffer (half a request, an unread reply) without getting on' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l flush -d 'Let clients remove everything at once (FLUSH, flush_all)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l enable-shutdown -d 'Let clients shut the server down (memcached\'s shutdown)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l login-timeout -d 'Close connections that have not logged in so long after they came, where everybody has to; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l idle-timeout -d 'Close connections on which nothing was asked for so long: seconds, or with ms, s, m, h; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l auth-file -d 'A file with a line user:password for each who may log in, as memcached\'s clients do with a set; if it is given, everybody has to; [read], [write] or [admin] and a space may stand before it, and say what that user may do [everything]; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l auth-token-file -d 'A file of tokens, a line each: clients must begin with AUTH and one of them, or in memcached\'s protocol with a set whose value is any name, a space, and the token; with [read], [write] or [admin] before it as in --auth-file; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l test-hooks -d 'Let clients move the clock, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -l cgroup-root -d 'Where proc and sys are, for tests' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand plan" -s h -l help -d 'Print help'
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l config -d 'A file of settings in TOML: a key for each flag, named as it is, without the dashes' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l log-format -d 'Messages on stderr: plain for people, json for collectors, one a line' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l log-level -d 'The least important messages to print: error, warn, info or debug' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l slow-request -d 'Tell of requests that took so long or longer, once a second at most; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l slow-log -d 'Keep the last 128 requests that took so long or longer, for SLOW, SLOWLOG GET and /slow; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l hot-keys -d 'Find out which keys are asked for most, for HOTKEYS, stats hotkeys and /hotkeys' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l tell-keys -d 'Keep the beginnings of hot keys and of those of slow requests, for administrators; else length and hash' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l seal -d 'What an allocation means that is made while a request is served: count is a figure in /metrics, abort ends the server with a backtrace, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l listen -d 'Where to accept connections: ADDR:PORT, tls:ADDR:PORT or unix:PATH, for every protocol, or with native:, memcached:, binary: or resp: before it for one alone; proxy: before the place, behind a protocol, for one that a proxy\'s PROXY header (version 2) comes before; may be repeated, or separated by commas' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l unix-mode -d 'The permissions of Unix sockets\' files, in octal' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l tls-cert -d 'The certificate for places with tls: before them, and those above it, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l tls-key -d 'The key of that certificate, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l tls-client-ca -d 'The authorities, in PEM, one of which has to have signed the certificate that each client presents at places with tls:; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l tls-min -d 'The oldest version of TLS that is spoken: 1.2 or 1.3' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l tls-max-connections -d 'Connections with TLS at a time; each is planned with 48 KiB, or 64 with --tls-client-ca [default: 1000, or as many as take an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l admin -d 'Address and port for health checks, metrics and a page to look at (/livez, /readyz, /metrics, /); none for nowhere' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l admin-host -d 'Names, separated by commas, under which browsers may ask for the admin pages; addresses, localhost and names without a dot always work' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l admin-token-file -d 'A file of tokens, a line each: the admin pages want to see one of them, as a bearer token or as a password that goes with any name; /livez and /readyz are for everybody; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l memory -d 'The whole process\'s memory: bytes, or with k, m, g (powers of 1024; 64Mi works, too); auto takes the container\'s limit, or 256MiB where there is none' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l memory-max -d 'What the memory may grow to when the container\'s limit is raised while it runs [default: the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l max-item -d 'The longest value' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l max-key -d 'The longest key: 250 to 16000 bytes. A line of the native protocol holds one of about 2000, and memcached\'s have at most 250' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l workers -d 'Threads that serve connections [default: the CPUs that the process may use]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l spin -d 'Microseconds for which a worker that is asked again and again looks for the next request before it sleeps: answers a client that waits for each sooner, for processor time' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l max-connections -d 'Connections served at a time; the next one gets ERROR and is closed [default: 10000, or as many as leave the cache an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l socket-buffer -d 'Each of a connection\'s two socket buffers: larger carries long values faster over long ways, smaller bounds what peers that do not read can cost' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l arena -d 'What the cache\'s memory is made of: heap, mmap (anonymous), or the path of a file, which the next process goes on with' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l arena-required -d 'Do not start if there is a file at --arena of which nothing can be restored' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l eviction -d 'Which items leave when room is needed: adaptive (new ones prove themselves first, and for how long follows what is asked for), s3fifo (for a tenth of the memory) or lru (who was used longest ago)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l curve -d 'Work out from a sample of the keys what the hit ratio would be with less memory, and with more' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l prefault -d 'Touch all of the cache\'s memory before the first connection' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l huge-pages -d 'Ask the kernel for huge pages' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l snapshot -d 'A file that all items are written to at the end, after the last request, and whenever `flagstone snapshot` asks for it; the next start restores them, on whatever machine and with whatever memory' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l snapshot-timeout -d 'How long writing that file at the end may take; after that an older one stays as it is' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l drain-delay -d 'After a first SIGTERM, how long to go on serving while /readyz says no, so that whoever sends requests here finds out before the door closes' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l drain-timeout -d 'How long a shutdown may take: seconds, or with ms, s, m, h' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l stall-timeout -d 'How long a connection may hold a buffer (half a request, an unread reply) without getting on' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l flush -d 'Let clients remove everything at once (FLUSH, flush_all)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l enable-shutdown -d 'Let clients shut the server down (memcached\'s shutdown)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l login-timeout -d 'Close connections that have not logged in so long after they came, where everybody has to; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l idle-timeout -d 'Close connections on which nothing was asked for so long: seconds, or with ms, s, m, h; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l auth-file -d 'A file with a line user:password for each who may log in, as memcached\'s clients do with a set; if it is given, everybody has to; [read], [write] or [admin] and a space may stand before it, and say what that user may do [everything]; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l auth-token-file -d 'A file of tokens, a line each: clients must begin with AUTH and one of them, or in memcached\'s protocol with a set whose value is any name, a space, and the token; with [read], [write] or [admin] before it as in --auth-file; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l test-hooks -d 'Let clients move the clock, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -l cgroup-root -d 'Where proc and sys are, for tests' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand stats" -s h -l help -d 'Print help'
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l config -d 'A file of settings in TOML: a key for each flag, named as it is, without the dashes' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l log-format -d 'Messages on stderr: plain for people, json for collectors, one a line' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l log-level -d 'The least important messages to print: error, warn, info or debug' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l slow-request -d 'Tell of requests that took so long or longer, once a second at most; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l slow-log -d 'Keep the last 128 requests that took so long or longer, for SLOW, SLOWLOG GET and /slow; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l hot-keys -d 'Find out which keys are asked for most, for HOTKEYS, stats hotkeys and /hotkeys' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l tell-keys -d 'Keep the beginnings of hot keys and of those of slow requests, for administrators; else length and hash' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l seal -d 'What an allocation means that is made while a request is served: count is a figure in /metrics, abort ends the server with a backtrace, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l listen -d 'Where to accept connections: ADDR:PORT, tls:ADDR:PORT or unix:PATH, for every protocol, or with native:, memcached:, binary: or resp: before it for one alone; proxy: before the place, behind a protocol, for one that a proxy\'s PROXY header (version 2) comes before; may be repeated, or separated by commas' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l unix-mode -d 'The permissions of Unix sockets\' files, in octal' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l tls-cert -d 'The certificate for places with tls: before them, and those above it, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l tls-key -d 'The key of that certificate, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l tls-client-ca -d 'The authorities, in PEM, one of which has to have signed the certificate that each client presents at places with tls:; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l tls-min -d 'The oldest version of TLS that is spoken: 1.2 or 1.3' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l tls-max-connections -d 'Connections with TLS at a time; each is planned with 48 KiB, or 64 with --tls-client-ca [default: 1000, or as many as take an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l admin -d 'Address and port for health checks, metrics and a page to look at (/livez, /readyz, /metrics, /); none for nowhere' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l admin-host -d 'Names, separated by commas, under which browsers may ask for the admin pages; addresses, localhost and names without a dot always work' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l admin-token-file -d 'A file of tokens, a line each: the admin pages want to see one of them, as a bearer token or as a password that goes with any name; /livez and /readyz are for everybody; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l memory -d 'The whole process\'s memory: bytes, or with k, m, g (powers of 1024; 64Mi works, too); auto takes the container\'s limit, or 256MiB where there is none' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l memory-max -d 'What the memory may grow to when the container\'s limit is raised while it runs [default: the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l max-item -d 'The longest value' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l max-key -d 'The longest key: 250 to 16000 bytes. A line of the native protocol holds one of about 2000, and memcached\'s have at most 250' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l workers -d 'Threads that serve connections [default: the CPUs that the process may use]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l spin -d 'Microseconds for which a worker that is asked again and again looks for the next request before it sleeps: answers a client that waits for each sooner, for processor time' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l max-connections -d 'Connections served at a time; the next one gets ERROR and is closed [default: 10000, or as many as leave the cache an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l socket-buffer -d 'Each of a connection\'s two socket buffers: larger carries long values faster over long ways, smaller bounds what peers that do not read can cost' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l arena -d 'What the cache\'s memory is made of: heap, mmap (anonymous), or the path of a file, which the next process goes on with' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l arena-required -d 'Do not start if there is a file at --arena of which nothing can be restored' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l eviction -d 'Which items leave when room is needed: adaptive (new ones prove themselves first, and for how long follows what is asked for), s3fifo (for a tenth of the memory) or lru (who was used longest ago)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l curve -d 'Work out from a sample of the keys what the hit ratio would be with less memory, and with more' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l prefault -d 'Touch all of the cache\'s memory before the first connection' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l huge-pages -d 'Ask the kernel for huge pages' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l snapshot -d 'A file that all items are written to at the end, after the last request, and whenever `flagstone snapshot` asks for it; the next start restores them, on whatever machine and with whatever memory' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l snapshot-timeout -d 'How long writing that file at the end may take; after that an older one stays as it is' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l drain-delay -d 'After a first SIGTERM, how long to go on serving while /readyz says no, so that whoever sends requests here finds out before the door closes' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l drain-timeout -d 'How long a shutdown may take: seconds, or with ms, s, m, h' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l stall-timeout -d 'How long a connection may hold a buffer (half a request, an unread reply) without getting on' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l flush -d 'Let clients remove everything at once (FLUSH, flush_all)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l enable-shutdown -d 'Let clients shut the server down (memcached\'s shutdown)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l login-timeout -d 'Close connections that have not logged in so long after they came, where everybody has to; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l idle-timeout -d 'Close connections on which nothing was asked for so long: seconds, or with ms, s, m, h; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l auth-file -d 'A file with a line user:password for each who may log in, as memcached\'s clients do with a set; if it is given, everybody has to; [read], [write] or [admin] and a space may stand before it, and say what that user may do [everything]; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l auth-token-file -d 'A file of tokens, a line each: clients must begin with AUTH and one of them, or in memcached\'s protocol with a set whose value is any name, a space, and the token; with [read], [write] or [admin] before it as in --auth-file; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l test-hooks -d 'Let clients move the clock, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l cgroup-root -d 'Where proc and sys are, for tests' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -l once -d 'Print one view and exit, as it also does when the output is no terminal'
complete -c flagstone -n "__fish_flagstone_using_subcommand top" -s h -l help -d 'Print help'
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l address -d 'Where to ask [default: the first plain place of --listen; 127.0.0.1 for 0.0.0.0]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l config -d 'A file of settings in TOML: a key for each flag, named as it is, without the dashes' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l log-format -d 'Messages on stderr: plain for people, json for collectors, one a line' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l log-level -d 'The least important messages to print: error, warn, info or debug' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l slow-request -d 'Tell of requests that took so long or longer, once a second at most; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l slow-log -d 'Keep the last 128 requests that took so long or longer, for SLOW, SLOWLOG GET and /slow; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l hot-keys -d 'Find out which keys are asked for most, for HOTKEYS, stats hotkeys and /hotkeys' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l tell-keys -d 'Keep the beginnings of hot keys and of those of slow requests, for administrators; else length and hash' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l seal -d 'What an allocation means that is made while a request is served: count is a figure in /metrics, abort ends the server with a backtrace, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l listen -d 'Where to accept connections: ADDR:PORT, tls:ADDR:PORT or unix:PATH, for every protocol, or with native:, memcached:, binary: or resp: before it for one alone; proxy: before the place, behind a protocol, for one that a proxy\'s PROXY header (version 2) comes before; may be repeated, or separated by commas' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l unix-mode -d 'The permissions of Unix sockets\' files, in octal' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l tls-cert -d 'The certificate for places with tls: before them, and those above it, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l tls-key -d 'The key of that certificate, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l tls-client-ca -d 'The authorities, in PEM, one of which has to have signed the certificate that each client presents at places with tls:; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l tls-min -d 'The oldest version of TLS that is spoken: 1.2 or 1.3' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l tls-max-connections -d 'Connections with TLS at a time; each is planned with 48 KiB, or 64 with --tls-client-ca [default: 1000, or as many as take an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l admin -d 'Address and port for health checks, metrics and a page to look at (/livez, /readyz, /metrics, /); none for nowhere' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l admin-host -d 'Names, separated by commas, under which browsers may ask for the admin pages; addresses, localhost and names without a dot always work' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l admin-token-file -d 'A file of tokens, a line each: the admin pages want to see one of them, as a bearer token or as a password that goes with any name; /livez and /readyz are for everybody; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l memory -d 'The whole process\'s memory: bytes, or with k, m, g (powers of 1024; 64Mi works, too); auto takes the container\'s limit, or 256MiB where there is none' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l memory-max -d 'What the memory may grow to when the container\'s limit is raised while it runs [default: the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l max-item -d 'The longest value' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l max-key -d 'The longest key: 250 to 16000 bytes. A line of the native protocol holds one of about 2000, and memcached\'s have at most 250' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l workers -d 'Threads that serve connections [default: the CPUs that the process may use]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l spin -d 'Microseconds for which a worker that is asked again and again looks for the next request before it sleeps: answers a client that waits for each sooner, for processor time' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l max-connections -d 'Connections served at a time; the next one gets ERROR and is closed [default: 10000, or as many as leave the cache an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l socket-buffer -d 'Each of a connection\'s two socket buffers: larger carries long values faster over long ways, smaller bounds what peers that do not read can cost' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l arena -d 'What the cache\'s memory is made of: heap, mmap (anonymous), or the path of a file, which the next process goes on with' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l arena-required -d 'Do not start if there is a file at --arena of which nothing can be restored' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l eviction -d 'Which items leave when room is needed: adaptive (new ones prove themselves first, and for how long follows what is asked for), s3fifo (for a tenth of the memory) or lru (who was used longest ago)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l curve -d 'Work out from a sample of the keys what the hit ratio would be with less memory, and with more' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l prefault -d 'Touch all of the cache\'s memory before the first connection' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l huge-pages -d 'Ask the kernel for huge pages' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l snapshot -d 'A file that all items are written to at the end, after the last request, and whenever `flagstone snapshot` asks for it; the next start restores them, on whatever machine and with whatever memory' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l snapshot-timeout -d 'How long writing that file at the end may take; after that an older one stays as it is' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l drain-delay -d 'After a first SIGTERM, how long to go on serving while /readyz says no, so that whoever sends requests here finds out before the door closes' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l drain-timeout -d 'How long a shutdown may take: seconds, or with ms, s, m, h' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l stall-timeout -d 'How long a connection may hold a buffer (half a request, an unread reply) without getting on' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l flush -d 'Let clients remove everything at once (FLUSH, flush_all)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l enable-shutdown -d 'Let clients shut the server down (memcached\'s shutdown)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l login-timeout -d 'Close connections that have not logged in so long after they came, where everybody has to; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l idle-timeout -d 'Close connections on which nothing was asked for so long: seconds, or with ms, s, m, h; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l auth-file -d 'A file with a line user:password for each who may log in, as memcached\'s clients do with a set; if it is given, everybody has to; [read], [write] or [admin] and a space may stand before it, and say what that user may do [everything]; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l auth-token-file -d 'A file of tokens, a line each: clients must begin with AUTH and one of them, or in memcached\'s protocol with a set whose value is any name, a space, and the token; with [read], [write] or [admin] before it as in --auth-file; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l test-hooks -d 'Let clients move the clock, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -l cgroup-root -d 'Where proc and sys are, for tests' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand healthcheck" -s h -l help -d 'Print help'
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l config -d 'A file of settings in TOML: a key for each flag, named as it is, without the dashes' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l log-format -d 'Messages on stderr: plain for people, json for collectors, one a line' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l log-level -d 'The least important messages to print: error, warn, info or debug' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l slow-request -d 'Tell of requests that took so long or longer, once a second at most; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l slow-log -d 'Keep the last 128 requests that took so long or longer, for SLOW, SLOWLOG GET and /slow; none for never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l hot-keys -d 'Find out which keys are asked for most, for HOTKEYS, stats hotkeys and /hotkeys' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l tell-keys -d 'Keep the beginnings of hot keys and of those of slow requests, for administrators; else length and hash' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l seal -d 'What an allocation means that is made while a request is served: count is a figure in /metrics, abort ends the server with a backtrace, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l listen -d 'Where to accept connections: ADDR:PORT, tls:ADDR:PORT or unix:PATH, for every protocol, or with native:, memcached:, binary: or resp: before it for one alone; proxy: before the place, behind a protocol, for one that a proxy\'s PROXY header (version 2) comes before; may be repeated, or separated by commas' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l unix-mode -d 'The permissions of Unix sockets\' files, in octal' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l tls-cert -d 'The certificate for places with tls: before them, and those above it, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l tls-key -d 'The key of that certificate, in PEM; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l tls-client-ca -d 'The authorities, in PEM, one of which has to have signed the certificate that each client presents at places with tls:; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l tls-min -d 'The oldest version of TLS that is spoken: 1.2 or 1.3' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l tls-max-connections -d 'Connections with TLS at a time; each is planned with 48 KiB, or 64 with --tls-client-ca [default: 1000, or as many as take an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l admin -d 'Address and port for health checks, metrics and a page to look at (/livez, /readyz, /metrics, /); none for nowhere' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l admin-host -d 'Names, separated by commas, under which browsers may ask for the admin pages; addresses, localhost and names without a dot always work' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l admin-token-file -d 'A file of tokens, a line each: the admin pages want to see one of them, as a bearer token or as a password that goes with any name; /livez and /readyz are for everybody; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l memory -d 'The whole process\'s memory: bytes, or with k, m, g (powers of 1024; 64Mi works, too); auto takes the container\'s limit, or 256MiB where there is none' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l memory-max -d 'What the memory may grow to when the container\'s limit is raised while it runs [default: the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l max-item -d 'The longest value' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l max-key -d 'The longest key: 250 to 16000 bytes. A line of the native protocol holds one of about 2000, and memcached\'s have at most 250' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l workers -d 'Threads that serve connections [default: the CPUs that the process may use]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l spin -d 'Microseconds for which a worker that is asked again and again looks for the next request before it sleeps: answers a client that waits for each sooner, for processor time' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l max-connections -d 'Connections served at a time; the next one gets ERROR and is closed [default: 10000, or as many as leave the cache an eighth of the memory]' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l socket-buffer -d 'Each of a connection\'s two socket buffers: larger carries long values faster over long ways, smaller bounds what peers that do not read can cost' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l arena -d 'What the cache\'s memory is made of: heap, mmap (anonymous), or the path of a file, which the next process goes on with' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l arena-required -d 'Do not start if there is a file at --arena of which nothing can be restored' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l eviction -d 'Which items leave when room is needed: adaptive (new ones prove themselves first, and for how long follows what is asked for), s3fifo (for a tenth of the memory) or lru (who was used longest ago)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l curve -d 'Work out from a sample of the keys what the hit ratio would be with less memory, and with more' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l prefault -d 'Touch all of the cache\'s memory before the first connection' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l huge-pages -d 'Ask the kernel for huge pages' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l snapshot -d 'A file that all items are written to at the end, after the last request, and whenever `flagstone snapshot` asks for it; the next start restores them, on whatever machine and with whatever memory' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l snapshot-timeout -d 'How long writing that file at the end may take; after that an older one stays as it is' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l drain-delay -d 'After a first SIGTERM, how long to go on serving while /readyz says no, so that whoever sends requests here finds out before the door closes' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l drain-timeout -d 'How long a shutdown may take: seconds, or with ms, s, m, h' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l stall-timeout -d 'How long a connection may hold a buffer (half a request, an unread reply) without getting on' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l flush -d 'Let clients remove everything at once (FLUSH, flush_all)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l enable-shutdown -d 'Let clients shut the server down (memcached\'s shutdown)' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l login-timeout -d 'Close connections that have not logged in so long after they came, where everybody has to; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l idle-timeout -d 'Close connections on which nothing was asked for so long: seconds, or with ms, s, m, h; 0 is never' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l auth-file -d 'A file with a line user:password for each who may log in, as memcached\'s clients do with a set; if it is given, everybody has to; [read], [write] or [admin] and a space may stand before it, and say what that user may do [everything]; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l auth-token-file -d 'A file of tokens, a line each: clients must begin with AUTH and one of them, or in memcached\'s protocol with a set whose value is any name, a space, and the token; with [read], [write] or [admin] before it as in --auth-file; read again on SIGHUP' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l test-hooks -d 'Let clients move the clock, for tests' -r
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -l cgroup-root -d 'Where proc and sys are, for tests' -r -F
complete -c flagstone -n "__fish_flagstone_using_subcommand snapshot" -s h -l help -d 'Print help'
