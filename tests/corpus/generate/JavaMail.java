// java -cp JARS JavaMail.java WISHES.JSON, with $SINK_PORT set by record.py; for Jakarta Mail put jakarta.mail in the
// place of javax.mail.

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonParser;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Date;
import java.util.Map;
import java.util.Properties;
import javax.mail.Session;
import javax.mail.Transport;
import javax.mail.internet.InternetAddress;
import javax.mail.internet.MimeMessage;
import javax.mail.internet.MimeUtility;

public class JavaMail {
    private static Session session;

    private static void send(String name, String value) throws Exception {
        MimeMessage mail = new MimeMessage(session);
        mail.setFrom(new InternetAddress("news@sender.example", "News"));
        mail.setRecipients(javax.mail.Message.RecipientType.TO, name + "@case.example");
        mail.setSubject("Corpus");
        mail.setSentDate(new Date(1795154400000L));
        mail.setText("Hello.\n", "utf-8");
        mail.setHeader("X-MSYS-API", value);
        Transport.send(mail);
    }

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("mail.smtp.host", "127.0.0.1");
        settings.put("mail.smtp.port", System.getenv("SINK_PORT"));
        settings.put("mail.smtp.localhost", "app.example");
        session = Session.getInstance(settings);
        Gson gson = new GsonBuilder().disableHtmlEscaping().create();
        String wishes = Files.readString(Path.of(arguments[0]));
        for (Map.Entry<String, JsonElement> wish : JsonParser.parseString(wishes).getAsJsonObject().entrySet()) {
            String name = wish.getKey();
            String json = gson.toJson(wish.getValue());
            // What the API says to do: encode, then fold behind the name.
            send(name, MimeUtility.fold(12, MimeUtility.encodeText(json, "UTF-8", null)));
            send(name + "-as-is", json);
            if (name.equals("non-ascii")) {
                send(name + "-q", MimeUtility.encodeText(json, "UTF-8", "Q"));
                send(name + "-b", MimeUtility.encodeText(json, "UTF-8", "B"));
            }
        }
    }
}
