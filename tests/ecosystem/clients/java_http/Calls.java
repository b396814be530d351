import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletionException;

/** Calls with Java's own HTTP client, which offers h2c with each request unless it is told not to; prints JSON. */
public class Calls {
    private static final String BASE = System.getenv("OPENAI_BASE_URL");
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "models" -> System.out.println(status(CLIENT.send(request("/models").build(), BodyHandlers.ofString())));
            case "chat" -> System.out.println(chat(BodyPublishers.ofString(body(40, false))).body());
            case "chat_in_chunks" -> {
                byte[] sent = body(40, false).getBytes(StandardCharsets.UTF_8);
                System.out.println(chat(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(sent))).body());
            }
            case "long_chat" -> System.out.println(status(chat(BodyPublishers.ofString(body(100_000, false)))));
            case "stream" -> {
                HttpResponse<String> answer = chat(BodyPublishers.ofString(body(40, true)));
                System.out.println(answer.body().endsWith("data: [DONE]\n\n"));
            }
            case "three" -> {
                StringBuilder statuses = new StringBuilder();
                for (int number = 0; number < 3; number++) {
                    statuses.append(number == 0 ? "[" : ", ").append(chat(BodyPublishers.ofString(body(40, false))).statusCode());
                }
                System.out.println(statuses.append("]"));
            }
            case "responses" -> System.out.println(post("/responses", "\"input\":" + words(40)).body());
            case "messages" -> {
                String messages = "[{\"role\":\"user\",\"content\":" + words(40) + "}]";
                System.out.println(post("/messages", "\"max_tokens\":100,\"messages\":" + messages).body());
            }
            case "websocket" -> System.out.println(websocket());
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static HttpResponse<String> chat(BodyPublisher body) throws Exception {
        return post("/chat/completions", body);
    }

    private static HttpResponse<String> post(String path, String members) throws Exception {
        return post(path, BodyPublishers.ofString("{\"model\":\"fake-chat\"," + members + "}"));
    }

    private static HttpResponse<String> post(String path, BodyPublisher body) throws Exception {
        HttpRequest request = request(path).header("content-type", "application/json").POST(body).build();
        return CLIENT.send(request, BodyHandlers.ofString());
    }

    private static String words(int count) {
        return "\"" + "word ".repeat(count).strip() + "\"";
    }

    private static HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(BASE + path));
    }

    private static String body(int words, boolean stream) {
        String messages = "[{\"role\":\"user\",\"content\":" + words(words) + "}]";
        return "{\"model\":\"fake-chat\",\"stream\":" + stream + ",\"messages\":" + messages + "}";
    }

    private static int websocket() {
        URI address = URI.create(BASE.replaceFirst("^http", "ws") + "/responses");
        try {
            CLIENT.newWebSocketBuilder().buildAsync(address, new WebSocket.Listener() {}).join();
            return 101;
        } catch (CompletionException failed) {
            return ((WebSocketHandshakeException) failed.getCause()).getResponse().statusCode();
        }
    }

    private static String status(HttpResponse<String> answer) {
        return "{\"status\": " + answer.statusCode() + ", \"version\": \"" + answer.version() + "\"}";
    }
}
