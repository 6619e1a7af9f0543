package com.example.policy;

import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** The command line, and the server's life from its start to its stop. */
@Command(
    name = "policy",
    description = "An example policy service for hookgate.",
    sortOptions = false)
final class Main implements Callable<Integer> {

  private static final int MAX_REQUEST_BYTES = 16 << 20;

  /**
   * A rule may block. gRPC's own pool has no limit: a disk that hangs would take a thread for each
   * call.
   */
  private static final int THREADS = 64;

  @Option(
      names = "--listen",
      paramLabel = "HOST:PORT",
      defaultValue = "${env:LISTEN:-127.0.0.1:50051}",
      description =
          "Where to listen; port 0 takes a free one. The variable LISTEN sets it too."
              + " Default: ${DEFAULT-VALUE}")
  private Address listen;

  @Option(
      names = "--word",
      paramLabel = "WORD",
      description = "A word that no message may hold. Can be given more than once.")
  private List<String> words = List.of();

  @Option(
      names = "--words",
      paramLabel = "FILE",
      description =
          "A file of such words in UTF-8, one a line; lines that begin with # are comments.")
  private Path wordsFile;

  @Option(
      names = "--delay-ms",
      paramLabel = "MS",
      defaultValue = "0",
      description = "The time that looking words up takes. Default: ${DEFAULT-VALUE}")
  private int delayMillis;

  @Option(
      names = "--audit",
      paramLabel = "FILE",
      description = "Where audit lines are appended. Default: standard output")
  private Path auditFile;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and exit.")
  private boolean help;

  public static void main(String[] args) {
    int exitCode =
        new CommandLine(new Main()).registerConverter(Address.class, Address::parse).execute(args);
    System.exit(exitCode);
  }

  @Override
  public Integer call() throws InterruptedException {
    try {
      serve();
      return 0;
    } catch (IOException e) {
      System.err.println("policy: " + e.getMessage());
      return 1;
    }
  }

  private void serve() throws IOException, InterruptedException {
    // What Java puts for the letters of an argument that the locale does not have. No message would
    // hold such a word, so nothing would be blocked, in silence.
    if (words.stream().anyMatch(word -> word.contains("\ufffd"))) {
      throw new IOException("cannot read a --word: set LC_ALL=C.UTF-8, or use --words");
    }
    List<String> blocked = new ArrayList<>(words);
    if (wordsFile != null) {
      blocked.addAll(Text.words(readWordsFile()));
    }
    AuditLog audit = new AuditLog(openAudit().getChannel());

    InetSocketAddress address = new InetSocketAddress(listen.host(), listen.port());
    if (address.isUnresolved()) {
      throw new IOException("cannot listen on " + listen + ": there is no such host");
    }

    HealthStatusManager health = new HealthStatusManager();
    var builder =
        NettyServerBuilder.forAddress(address)
            .executor(Executors.newFixedThreadPool(THREADS))
            .maxInboundMessageSize(MAX_REQUEST_BYTES)
            // hookgate pings idle connections; by default that counts as too many pings here.
            .permitKeepAliveWithoutCalls(true)
            .permitKeepAliveTime(1, TimeUnit.SECONDS)
            // Clients look the name up again when a connection ends, and so find new replicas.
            .maxConnectionAge(5, TimeUnit.MINUTES);
    Server server =
        addPolicy(builder, new Lookup(blocked, delayMillis), audit)
            .addService(health.getHealthService())
            .addService(ProtoReflectionServiceV1.newInstance())
            .build();
    server
        .getServices()
        .forEach(s -> health.setStatus(s.getServiceDescriptor().getName(), ServingStatus.SERVING));
    start(server);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(server, health)));

    if (blocked.isEmpty()) {
      System.err.println("no --word and no --words: no message is blocked");
    }
    System.err.println("listening on " + listen.host() + ":" + server.getPort());
    server.awaitTermination();
  }

  /** Adds what this policy answers to a server. */
  static ServerBuilder<?> addPolicy(ServerBuilder<?> server, Lookup words, AuditLog audit) {
    return server
        .intercept(new CallInterceptor())
        .addService(new MessagePolicy(words, audit))
        .addService(new RelationPolicy(audit))
        .addService(new GroupPolicy());
  }

  private void start(Server server) throws IOException {
    try {
      server.start();
    } catch (IOException e) {
      // The cause says why, "Address already in use" for one.
      String why = (e.getCause() == null ? e : e.getCause()).getMessage();
      throw new IOException("cannot listen on " + listen + ": " + why, e);
    }
  }

  /**
   * Runs on SIGTERM and SIGINT: no new calls, and what is in flight is finished. The exit code
   * stays the signal's, 143 for SIGTERM: systemd wants SuccessExitStatus=143.
   */
  private static void stop(Server server, HealthStatusManager health) {
    health.enterTerminalState();
    server.shutdown();
    try {
      if (!server.awaitTermination(5, TimeUnit.SECONDS)) {
        server.shutdownNow().awaitTermination(1, TimeUnit.SECONDS);
      }
    } catch (InterruptedException e) {
      // Nobody interrupts this thread; if somebody did, there would be nothing to wait for.
    }
  }

  private String readWordsFile() throws IOException {
    try (InputStream in = new FileInputStream(wordsFile.toFile())) {
      // Unlike new String(), a new decoder refuses what is not UTF-8.
      return StandardCharsets.UTF_8
          .newDecoder()
          .decode(ByteBuffer.wrap(in.readAllBytes()))
          .toString();
    } catch (CharacterCodingException e) {
      throw new IOException("the words file " + wordsFile + " is not UTF-8", e);
    } catch (IOException e) {
      throw new IOException("cannot read the words file: " + e.getMessage(), e);
    }
  }

  private FileOutputStream openAudit() throws IOException {
    if (auditFile == null) {
      // Not System.out, which keeps quiet when it cannot write.
      return new FileOutputStream(FileDescriptor.out);
    }
    try {
      return new FileOutputStream(auditFile.toFile(), true);
    } catch (IOException e) {
      throw new IOException("cannot open the audit file: " + e.getMessage(), e);
    }
  }

  /** The value of --listen. */
  record Address(String host, int port) {

    static Address parse(String value) {
      int colon = value.lastIndexOf(':');
      try {
        int port = Integer.parseInt(value.substring(colon + 1));
        if (colon > 0 && port >= 0 && port <= 65535) {
          return new Address(value.substring(0, colon), port);
        }
      } catch (NumberFormatException e) {
        // Said below.
      }
      throw new TypeConversionException("'" + value + "' is not HOST:PORT");
    }

    @Override
    public String toString() {
      return host + ":" + port;
    }
  }
}
